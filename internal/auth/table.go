package auth

import "maps"

// shardCount is how many maps a table is spread over: with 200,000 rows, one change copies about 50 of them.
const shardCount = 1 << 12

// sharded is what a table can be keyed by.
type sharded interface {
	comparable
	shard() uint32 // below shardCount
}

// digest is a key's SHA-256.
type digest [32]byte

func (d digest) shard() uint32 { return (uint32(d[0])<<8 | uint32(d[1])) % shardCount }

// id is the identity of any other row.
type id string

func (s id) shard() uint32 { // FNV-1a
	h := uint32(2166136261)
	for i := range len(s) {
		h = (h ^ uint32(s[i])) * 16777619
	}
	return (h ^ h>>16) % shardCount
}

// table is a map of many small maps, so that a copy with a change in it shares nearly all of them. Once published it is never written to
// and safe for concurrent reading; put and del are for the copy that next gives, by its maker alone.
type table[K sharded, V any] struct {
	shards [shardCount]map[K]V
	owned  [shardCount]bool // shards that this copy may write to
	len    int
}

// next is a copy to be changed.
func (t *table[K, V]) next() *table[K, V] {
	return &table[K, V]{shards: t.shards, len: t.len}
}

func (t *table[K, V]) get(k K) (V, bool) {
	v, ok := t.shards[k.shard()][k]
	return v, ok
}

func (t *table[K, V]) own(k K) map[K]V {
	at := k.shard()
	if !t.owned[at] {
		t.owned[at] = true
		if t.shards[at] = maps.Clone(t.shards[at]); t.shards[at] == nil {
			t.shards[at] = map[K]V{}
		}
	}
	return t.shards[at]
}

func (t *table[K, V]) put(k K, v V) {
	m := t.own(k)
	before := len(m)
	m[k] = v
	t.len += len(m) - before
}

func (t *table[K, V]) del(k K) {
	m := t.own(k)
	before := len(m)
	delete(m, k)
	t.len += len(m) - before
}

// each calls f for every row, in no order.
func (t *table[K, V]) each(f func(K, V)) {
	for i := range t.shards {
		for k, v := range t.shards[i] {
			f(k, v)
		}
	}
}
