package auth

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-gateway/weir/internal/account"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// whose tells who a key is taken for: alias or user, or the type of the error.
func whose(d *Directory, key string, at time.Time) string {
	p, err := d.Authenticate(key, at)
	if err != nil {
		return err.Type
	}
	return fmt.Sprint(p.KeyAlias, "/", p.UserEmail, "/", p.TeamAlias, "/", p.OrgID, "/", p.Role)
}

func TestAuthenticate(t *testing.T) {
	d := NewDirectory(Options{Master: "sk-master", Own: []account.Key{{Hash: Hash("sk-own"), Alias: "own", TeamID: "t1"}}}, Rows{
		Keys: []account.Key{
			{Hash: Hash("sk-1"), Alias: "one", UserID: "u1", TeamID: "t1"},
			{Hash: Hash("sk-2"), Alias: "two", Expires: noon.UnixMilli()},
			{Hash: Hash("sk-3"), Alias: "three", Blocked: true},
			{Hash: Hash("sk-4"), Alias: "four", UserID: "u2"},
			{Hash: Hash("sk-5"), Alias: "five", TeamID: "t2"},
			{Hash: Hash("sk-new"), Alias: "six", Previous: []account.Previous{{Hash: Hash("sk-old"), Until: noon.UnixMilli()}}},
			{Hash: Hash("sk-own"), Alias: "not mine"},
			{Hash: Hash("sk-master"), Alias: "not mine"},
			{Hash: "no hash"},
			{Hash: Hash("sk-none"), UserID: "nobody"},
		},
		Users: []account.User{{ID: "u1", Email: "u1@x"}, {ID: "u2", Blocked: true}},
		Teams: []account.Team{{ID: "t1", Alias: "T1", OrgID: "o1"}, {ID: "t2", Blocked: true}},
		Orgs:  []account.Organization{{ID: "o1"}},
	})
	f := func(key string, at time.Time, want string) {
		t.Helper()
		if got := whose(d, key, at); got != want {
			t.Errorf("%s at %s is %s, want %s", key, at.Format(time.TimeOnly), got, want)
		}
	}
	before := noon.Add(-time.Millisecond)
	f("sk-master", noon, "master////proxy_admin")
	f("sk-own", noon, "own//T1/o1/")
	f("sk-1", noon, "one/u1@x/T1/o1/internal_user")
	f("sk-2", before, "two////")
	f("sk-2", noon, "expired_key")
	f("sk-3", noon, "auth_error")
	f("sk-4", noon, "auth_error")
	f("sk-5", noon, "auth_error")
	f("sk-new", noon, "six////")
	f("sk-old", before, "six////")
	f("sk-old", noon, "token_not_found_in_db")
	f("sk-none", noon, "////")
	f("sk-", noon, "token_not_found_in_db")
	f("", noon, "auth_error")
	f(string(make([]byte, 5000)), noon, "auth_error")
}

func TestApply(t *testing.T) {
	d := NewDirectory(Options{Master: "sk-master", Own: []account.Key{{Hash: Hash("sk-own"), Alias: "own"}}}, Rows{
		Keys:  []account.Key{{Hash: Hash("sk-1"), Alias: "one", UserID: "u1", TeamID: "t1"}, {Hash: Hash("sk-2"), Alias: "two", UserID: "u1"}},
		Teams: []account.Team{{ID: "t1", Alias: "T1"}},
	})
	f := func(change Changes, key, want string) {
		t.Helper()
		old, was := d, whose(d, key, noon)
		d = d.Apply(change)
		if got := whose(d, key, noon); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
		if got := whose(old, key, noon); got != was {
			t.Errorf("%s changed in the directory before: %s, was %s", key, got, was)
		}
	}
	f(Changes{}, "sk-1", "one//T1//")
	f(Changes{Rows: Rows{Users: []account.User{{ID: "u1", Email: "a@x"}}}}, "sk-2", "two/a@x///internal_user")
	f(Changes{Rows: Rows{Users: []account.User{{ID: "u1", Email: "b@x"}}}}, "sk-1", "one/b@x/T1//internal_user")
	f(Changes{Gone: IDs{Users: []string{"u1"}}}, "sk-1", "one//T1//")
	f(Changes{Rows: Rows{Teams: []account.Team{{ID: "t1", Alias: "T", OrgID: "o"}}}}, "sk-1", "one//T/o/")
	f(Changes{Rows: Rows{Teams: []account.Team{{ID: "t1", Alias: "T", Blocked: true}}}}, "sk-1", "auth_error")
	f(Changes{Gone: IDs{Teams: []string{"t1"}}}, "sk-1", "one////")
	f(Changes{Rows: Rows{Keys: []account.Key{{Hash: Hash("sk-1"), Alias: "uno"}}}}, "sk-1", "uno////")
	f(Changes{Gone: IDs{Keys: []string{Hash("sk-1")}},
		Rows: Rows{Keys: []account.Key{{Hash: Hash("sk-9"), Alias: "nine", Previous: []account.Previous{{Hash: Hash("sk-1"), Until: noon.UnixMilli() + 1}}}}}},
		"sk-1", "nine////")
	f(Changes{}, "sk-9", "nine////")
	f(Changes{Gone: IDs{Keys: []string{Hash("sk-1")}}}, "sk-1", "nine////") // told late that the former hash's row is gone
	f(Changes{Gone: IDs{Keys: []string{Hash("sk-9")}}}, "sk-1", "token_not_found_in_db")
	f(Changes{Gone: IDs{Keys: []string{Hash("sk-own"), Hash("sk-master"), "x"}}}, "sk-own", "own////")
	f(Changes{Rows: Rows{Keys: []account.Key{{Hash: Hash("sk-own"), Alias: "row"}, {Hash: Hash("sk-master"), Alias: "row"}}}}, "sk-own", "own////")
	f(Changes{}, "sk-master", "master////proxy_admin")

	d = d.With(Options{Own: []account.Key{{Hash: Hash("sk-2"), Alias: "own two"}}})
	f(Changes{}, "sk-own", "row////")
	f(Changes{}, "sk-master", "row////")
	f(Changes{}, "sk-2", "own two////")
	d = d.With(Options{})
	f(Changes{}, "sk-2", "two////")
	f(Changes{Rows: Rows{Users: []account.User{{ID: "u1", Email: "c@x"}}}}, "sk-2", "two/c@x///internal_user")
}

// Changes applied to a directory that is not the newest are right too.
func TestApply_older(t *testing.T) {
	d := NewDirectory(Options{}, Rows{Keys: []account.Key{{Hash: Hash("sk-1"), UserID: "u1"}}})
	a := d.Apply(Changes{Rows: Rows{Keys: []account.Key{{Hash: Hash("sk-1"), UserID: "u2"}}}})
	b := d.Apply(Changes{Rows: Rows{Keys: []account.Key{{Hash: Hash("sk-2"), UserID: "u1"}}}})
	user := Changes{Rows: Rows{Users: []account.User{{ID: "u1", Email: "u1@x"}}}}
	whose(a, "sk-1", noon)
	whose(b, "sk-1", noon)
	a, b = a.Apply(user), b.Apply(user)
	if got := whose(a, "sk-1", noon); got != "////" {
		t.Error(got)
	}
	if got := whose(b, "sk-1", noon); got != "/u1@x///internal_user" {
		t.Error(got)
	}
	if got := whose(b, "sk-2", noon); got != "/u1@x///internal_user" {
		t.Error(got)
	}
}
