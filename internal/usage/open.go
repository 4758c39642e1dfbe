package usage

import (
	"sync"
	"time"
)

// Open lists the calls in flight, so that what they may cost is known outside this process while they run: a replica that never comes back
// leaves their estimates behind, and the journal on its disk may be gone with it. The zero value is ready. Safe for concurrent use.
type Open struct {
	shards [16]openShard
}

type openShard struct {
	mu    sync.Mutex
	first *OpenCall
	_     [64]byte // so that two shards do not share a cache line
}

// OpenCall is one call in flight. It is embedded in the call's own state, so that listing it allocates nothing. The owner sets Record
// (its Cost and Usage are the estimate) before Begin and does not touch it until End.
type OpenCall struct {
	Record Record

	prev, next *OpenCall
	shard      *openShard
	since      time.Time
	reported   bool
}

// Begin lists a call. now is also where its age counts from.
func (o *Open) Begin(c *OpenCall, now time.Time) {
	id := c.Record.ID
	c.shard = &o.shards[id[len(id)-1]%byte(len(o.shards))]
	c.since, c.reported = now, false
	c.shard.mu.Lock()
	c.prev, c.next = nil, c.shard.first
	if c.next != nil {
		c.next.prev = c
	}
	c.shard.first = c
	c.shard.mu.Unlock()
}

// End takes a call off the list, before its record is written; one that is not on it is left alone. reported says that it was given by
// Report: outside this process it is open until its record is there.
func (o *Open) End(c *OpenCall) (reported bool) {
	s := c.shard
	if s == nil {
		return false
	}
	s.mu.Lock()
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		s.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	}
	reported = c.reported
	s.mu.Unlock()
	c.prev, c.next, c.shard = nil, nil, nil
	return reported
}

// Report gives the calls that have been open since before the time given and were not reported yet. Short calls never are.
func (o *Open) Report(before time.Time) (begun []Record) {
	for i := range o.shards {
		s := &o.shards[i]
		s.mu.Lock()
		for c := s.first; c != nil; c = c.next {
			if !c.reported && c.since.Before(before) {
				c.reported = true
				begun = append(begun, c.Record)
			}
		}
		s.mu.Unlock()
	}
	return begun
}
