package account

import (
	"strings"

	"github.com/weir-gateway/weir/internal/llm"
)

// Kind is what sort of account is charged or limited. Its text is what limit headers and messages call it.
type Kind string

// The kinds. Each call is charged to every one of them that it has.
const (
	OfKey      Kind = "api_key"
	OfUser     Kind = "user"
	OfTeam     Kind = "team"
	OfMember   Kind = "team_member" // ID: team and user, see MemberID
	OfOrg      Kind = "organization"
	OfCustomer Kind = "end_user"
	OfTag      Kind = "tag"
	OfGateway  Kind = "gateway" // the whole proxy; ID empty
)

// Subject is one account that a call is charged to, or one model within it. Comparable: it is a map key.
type Subject struct {
	Kind  Kind
	ID    string
	Model string // empty: all models
}

// MemberID is the id under which a user's share in a team is charged. The separator occurs in no id.
func MemberID(team, user string) string { return team + "\x1f" + user }

// Spend is what a subject has spent. Total only ever grows; Base is what Total was when the running window began.
type Spend struct {
	Subject
	Window  string // the Duration of one of Limits.Windows; empty: the account's MaxBudget
	Total   llm.Nanos
	Base    llm.Nanos
	ResetAt int64 // end of the running window, Unix ms; 0: the window never ends
}

// Spent is what counts against the budget now.
func (s Spend) Spent() llm.Nanos { return s.Total - s.Base }

// SplitMemberID takes such an id apart.
func SplitMemberID(id string) (team, user string) {
	team, user, _ = strings.Cut(id, "\x1f")
	return team, user
}
