package auth

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/limit"
	"github.com/weir-gateway/weir/internal/llm"
)

const plenty = 200_000

// many is a directory of so many keys, of 20,000 users in 2,000 teams at most.
func many(keys int) *Directory {
	var rows Rows
	for i := range keys {
		k := account.Key{Hash: Hash("sk-" + strconv.Itoa(i)), Alias: "key " + strconv.Itoa(i), UserID: "user-" + strconv.Itoa(i%20_000)}
		if i%2 == 0 {
			k.TeamID = "team-" + strconv.Itoa(i%2_000)
		}
		rows.Keys = append(rows.Keys, k)
	}
	for i := range keys / 10 {
		rows.Users = append(rows.Users, account.User{ID: "user-" + strconv.Itoa(i)})
		rows.Members = append(rows.Members, account.Member{TeamID: "team-" + strconv.Itoa(i%2_000), UserID: "user-" + strconv.Itoa(i)})
	}
	for i := range 2_000 {
		rows.Teams = append(rows.Teams, account.Team{ID: "team-" + strconv.Itoa(i), OrgID: "org", Limits: account.Limits{MaxBudget: ptr(llm.Nanos(1e12))}})
	}
	rows.Orgs = []account.Organization{{ID: "org"}}
	return NewDirectory(Options{Limiter: limit.New(limit.Options{})}, rows)
}

func BenchmarkAuthenticate(b *testing.B) {
	d := many(plenty)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := d.Authenticate("sk-77777", noon); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewDirectory(b *testing.B) {
	for b.Loop() {
		many(plenty)
	}
}

func BenchmarkApply(b *testing.B) {
	d := many(plenty)
	run := func(name string, c func(i int) Changes) {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				d = d.Apply(c(i))
			}
		})
	}
	run("key", func(i int) Changes {
		return Changes{Rows: Rows{Keys: []account.Key{{Hash: Hash("sk-" + strconv.Itoa(i%200_000)), UserID: "user-1"}}}}
	})
	run("new key", func(i int) Changes {
		return Changes{Rows: Rows{Keys: []account.Key{{Hash: Hash("sk-new-" + strconv.Itoa(i)), UserID: "user-2", TeamID: "team-2"}}}}
	})
	run("user of 10 keys", func(i int) Changes {
		return Changes{Rows: Rows{Users: []account.User{{ID: "user-" + strconv.Itoa(3+i%10_000)}}}}
	})
	run("team of 100 keys", func(i int) Changes {
		return Changes{Rows: Rows{Teams: []account.Team{{ID: "team-" + strconv.Itoa(i%1000*2), OrgID: "org"}}}}
	})
}

// Looking a key up allocates nothing, once its principal was made.
func TestAuthenticate_allocates(t *testing.T) {
	d := NewDirectory(Options{Limiter: limit.New(limit.Options{})}, Rows{Keys: []account.Key{{Hash: Hash("sk-1"), UserID: "u"}}})
	f := func(want float64, call func()) {
		t.Helper()
		call()
		if got := testing.AllocsPerRun(100, call); got > want {
			t.Errorf("%v allocations, want %v", got, want)
		}
	}
	f(0, func() {
		if p, err := d.Authenticate("sk-1", noon); err != nil || p.Bound == nil || !p.MayCall("m") {
			t.Error(err)
		}
	})
	f(0, func() { d.Customer("nobody") })
	f(0, func() { d.Tag("none") })
}

// What a directory of many keys costs in memory.
func TestDirectory_memory(t *testing.T) {
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	d := many(plenty / 10)
	per := (heap() - before) / uint64(d.Len())
	if per > 1500 {
		t.Errorf("%d bytes for each key", per)
	}
	t.Log(fmt.Sprint(per, " bytes for each key, its rows included"))
}
