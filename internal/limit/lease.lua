-- One counter, one round trip: a replica tells where it stands (absolutely, so that telling twice or late does no harm) and asks for a share.
--
-- KEYS[1] is a hash: w the window's id (its beginning, ms), q what SQL says was ever spent, g until when shares are tight (ms), and a field
-- "r:<replica>" each: "used held idle seen". Of money, used is what the replica settled and SQL's total does not have yet.
--
-- ARGV: kind (r: windowed, p: parallel, b: money), replica, dead after (ms), charged after death for (ms), used, held, idle share kept, window id
-- (0: none), limit, needed (0: only telling), needed by calls waiting, wanted beyond, SQL's total, whether that was "read" for this question or
-- its reading "failed", and what is known of replicas' books, as "name open" or "name closed" each: what one of closed books held is in SQL.
-- Gives: granted, window id, its age, used of all, held of all (idle shares included), idle of the others, tight, left, live replicas here.
-- Granted is -1 where SQL's total must be read and the question asked again: nobody has told it yet, or what a dead replica held is in it now.
local kind, me = ARGV[1], 'r:' .. ARGV[2]
local dead, limbo = tonumber(ARGV[3]), tonumber(ARGV[4])
local used, held, idle, id = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local limit, need, waiting, want = tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local sql, read = tonumber(ARGV[13]), ARGV[14]

local books = {}
for name, are in string.gmatch(ARGV[15], '(%S+) (%S+)') do books[name] = are end

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local text = function(n) return string.format('%.0f', n) end

local w, q, tight, n = 0, nil, 0, 1
local oused, oheld, oidle = 0, 0, 0
local over = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local k, v = all[i], all[i + 1]
  if k == 'w' then w = tonumber(v)
  elseif k == 'q' then q = tonumber(v)
  elseif k == 'g' then tight = tonumber(v)
  elseif k ~= me then
    local xu, xh, xi, seen = string.match(v, '(%S+) (%S+) (%S+) (%S+)')
    xu, xh, xi = tonumber(xu), tonumber(xh), tonumber(xi)
    local age = now - tonumber(seen)
    local its = books[string.sub(k, 3)]
    if age <= dead then
      n = n + 1
    elseif kind == 'p' or (kind == 'b' and read ~= 'failed' and (its == 'closed' or (not its and age > dead + limbo))) then
      -- Its calls died with it, or what it did is in SQL's total, if that is the one of now.
      xu, xh, xi = 0, 0, 0
      over[#over + 1] = k
    else
      -- It may have used all of its share unseen: that stays charged, for the window or until SQL has it.
      xu, xh, xi = xu + xh + xi, 0, 0
    end
    oused, oheld, oidle = oused + xu, oheld + xh, oidle + xi
  end
end

if kind == 'r' then
  if w ~= 0 and now - w >= 60000 then
    redis.call('DEL', KEYS[1])
    w, oused, oheld, oidle, tight, n = 0, 0, 0, 0, 0, 1
  end
  if id ~= 0 and now - id < 60000 then
    -- Counted while this server was away, or before it lost its data: the older beginning stands.
    if w == 0 or id < w then w = id end
  else
    used, held, idle = 0, 0, 0
  end
  if w == 0 then
    if need == 0 then return {0, 0, 0, 0, 0, 0, 0, 0, n} end
    w = now
  end
elseif kind == 'b' then
  if (not q or #over > 0) and read == '' then return {-1, 0, 0, 0, 0, 0, 0, 0, n} end
  q = math.max(q or sql, sql)
end

if #over > 0 then redis.call('HDEL', KEYS[1], unpack(over)) end

local given = 0
local spent = (q or 0) + oused + used
local left = limit - spent - oheld - oidle - held - idle
if need > 0 then
  if left > 0 then
    -- The whole need is given while anything is left, so one need at most goes beyond the limit; all else only from what is there.
    given = need
    left = left - need
    if left > 0 then
      local more = math.min(waiting, left)
      given, left = given + more, left - more
      local extra = math.min(want, math.floor(left / (4 * n)))
      if extra >= need then given, left = given + extra, left - extra end
    end
    if left < 4 * n * need then tight = now + 2000 end
  elseif oidle > 0 then
    tight = now + 2000
  end
end
idle = idle + given

if used == 0 and held == 0 and idle == 0 then
  redis.call('HDEL', KEYS[1], me)
else
  redis.call('HSET', KEYS[1], me, text(used) .. ' ' .. text(held) .. ' ' .. text(idle) .. ' ' .. text(now))
end
redis.call('HSET', KEYS[1], 'g', text(tight))
if kind == 'r' then redis.call('HSET', KEYS[1], 'w', text(w)) end
if kind == 'b' then redis.call('HSET', KEYS[1], 'q', text(q)) end
redis.call('PEXPIRE', KEYS[1], kind == 'r' and 70000 or 600000)
return {given, w, w ~= 0 and now - w or 0, spent, oheld + oidle + held + idle, oidle, now < tight and 1 or 0, left, n}
