package usage

import (
	"cmp"
	"strconv"
)

// Person is whose metrics a call counts in: the user of the key or token, or for keys of nobody the end user that the client names, or the
// key by its alias. Empty: nobody is known.
func (r *Record) Person() string { return cmp.Or(r.User, r.EndUser, r.KeyAlias, r.Key) }

// SessionID is the session that the client names, or one that stands for its conversation; empty: the call is of no session.
func (r *Record) SessionID() string {
	if r.Session != "" || r.Thread == 0 {
		return r.Session
	}
	hex := strconv.FormatUint(r.Thread, 16)
	return "thread-" + "0000000000000000"[len(hex):] + hex
}
