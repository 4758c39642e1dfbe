package auth

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-gateway/weir/internal/llm"
)

// FailureOptions say how failed authentications are slowed down; the zero value has the defaults given.
type FailureOptions struct {
	Free  int           // failures that cost an address nothing; 0: 50
	First time.Duration // how long the next one shuts it out; each further one twice as long; 0: 1 s
	Most  time.Duration // and at most so long; 0: 1 min
	Quiet time.Duration // after how long without a failure an address is forgotten; 0: 10 min
	Size  int           // addresses remembered; 0: 4096
}

// Failures slows down guessing: an address that fails to authenticate too often is shut out for a time that doubles. Safe for concurrent use.
//
// Shut out are wrong credentials, and right ones that could have been guessed, being short. A right one of full length is served, so that one
// client with an outdated key does not take the service from all who share its address.
type Failures struct {
	o   FailureOptions
	now func() time.Time
	// shut is until when the last address that was shut out is, Unix ms: before that nobody need take the lock.
	shut atomic.Int64

	mu sync.Mutex
	of map[netip.Prefix]*failing
}

type failing struct {
	count int
	last  time.Time
	until time.Time // shut out until then
}

// guessable is below how many bytes a key may be guessed by trying; generated ones have 25.
const guessable = 20

// NewFailures makes an empty table.
func NewFailures(o FailureOptions, now func() time.Time) *Failures {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.First, time.Second)
	set(&o.Most, time.Minute)
	set(&o.Quiet, 10*time.Minute)
	if o.Free == 0 {
		o.Free = 50
	}
	if o.Size == 0 {
		o.Size = 4096
	}
	return &Failures{o: o, now: now, of: map[netip.Prefix]*failing{}}
}

// Before is asked before a credential is looked at; a 429 if the address is shut out and the credential is short enough to be guessed. It
// costs one atomic load while nobody is shut out. remote is host:port as net/http has it.
func (f *Failures) Before(remote, credential string) *llm.Error {
	if len(credential) >= guessable || f.shut.Load() == 0 {
		return nil
	}
	now := f.now()
	if now.UnixMilli() >= f.shut.Load() {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if a := f.of[network(remote)]; a != nil && now.Before(a.until) {
		return tooMany(a.until.Sub(now))
	}
	return nil
}

// After is told of a credential that was refused with err, and gives what to answer: err itself, or a 429 that tells nothing about the
// credential if the address is shut out. What has merely expired is no failure: clients renew it when they are told. Nor should it be told of
// keys that exist.
func (f *Failures) After(remote string, err *llm.Error) *llm.Error {
	if err == nil || err.Kind != llm.ErrAuth || err.Type == "expired_key" {
		return err
	}
	now, key := f.now(), network(remote)
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.of[key]
	switch {
	case a == nil:
		f.makeRoom(now)
		a = &failing{}
		f.of[key] = a
	case now.Before(a.until):
		return tooMany(a.until.Sub(now))
	case now.Sub(a.last) >= f.o.Quiet:
		a.count = 0
	}
	a.count++
	a.last = now
	if over := a.count - f.o.Free; over > 0 {
		wait := f.o.Most
		if over <= 16 {
			wait = min(wait, f.o.First<<(over-1))
		}
		a.until = now.Add(wait)
		f.shut.Store(max(f.shut.Load(), a.until.UnixMilli()))
	}
	return err
}

// makeRoom forgets an address when the table is full: of a few taken at random the one that is shut out for the shortest time, if at all, and
// failed longest ago.
func (f *Failures) makeRoom(now time.Time) {
	if len(f.of) < f.o.Size {
		return
	}
	var drop netip.Prefix
	var least *failing
	looked := 0
	for key, a := range f.of {
		if a.until.Before(now) {
			a.until = time.Time{}
		}
		if looked++; looked > 16 {
			break
		}
		if least != nil {
			if c := a.until.Compare(least.until); c > 0 || c == 0 && !a.last.Before(least.last) {
				continue
			}
		}
		drop, least = key, a
	}
	delete(f.of, drop)
}

// network is what one client may choose its address from: an IPv4 address, the /64 of an IPv6 one.
func network(remote string) netip.Prefix {
	var addr netip.Addr
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		addr = ap.Addr()
	} else if addr, err = netip.ParseAddr(remote); err != nil {
		return netip.Prefix{} // all whose address is unknown count as one
	}
	addr = addr.Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits)
	return p
}

func tooMany(wait time.Duration) *llm.Error {
	return &llm.Error{Kind: llm.ErrRateLimit, Type: "auth_error", RetryAfter: max(time.Second, wait),
		Message: "Too many failed authentications from this address. Try again later."}
}
