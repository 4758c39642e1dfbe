package auth

import (
	"slices"
	"time"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/llm"
)

// make builds the principal of a key; nil is the master key.
func (d *Directory) make(k *account.Key) *Principal {
	if k == nil {
		return &Principal{UserID: MasterUser, KeyAlias: "master", Role: account.ProxyAdmin, Admin: true, Bound: d.bindMaster(), rules: d.rules}
	}
	p := &Principal{
		KeyHash: k.Hash, KeyAlias: k.Alias, KeyName: k.Name, UserID: k.UserID, TeamID: k.TeamID, OrgID: k.OrgID,
		Key: k, Metadata: k.Metadata, Tags: k.Tags, rules: d.rules,
	}
	d.belong(p)
	p.Bound = d.bind(p)
	if k.Blocked {
		p.refused = "Authentication Error, Key is blocked. Update via `/key/unblock` if you're an admin."
	}
	return p
}

// ForUser is the principal of a user who calls without a key: one signed in, or behind a JWT; team and org may be empty, and the team's
// organization counts before org. Without a row the user has no role, and whoever vouches for them sets one on a copy. It is made anew at
// each call.
func (d *Directory) ForUser(user, team, org string) *Principal {
	p := &Principal{UserID: user, TeamID: team, rules: d.rules}
	if t, ok := d.teams.get(id(team)); !ok || t.OrgID == "" {
		p.OrgID = org
	}
	d.belong(p)
	p.Bound = d.bind(p)
	return p
}

// belong fills in the rows of the user, team, member and organization that the principal names.
func (d *Directory) belong(p *Principal) {
	if u, ok := d.users.get(id(p.UserID)); ok {
		p.User, p.UserEmail, p.Role = u, u.Email, u.Role
		if p.Role == "" {
			p.Role = account.InternalUser
		}
		p.Admin = p.Role == account.ProxyAdmin
		p.Groups = texts(u.Metadata["groups"])
		if u.Blocked {
			p.refused = "Authentication Error, User=" + u.ID + " is blocked. Ask an admin to unblock it."
		}
	}
	if t, ok := d.teams.get(id(p.TeamID)); ok {
		p.Team, p.TeamAlias = t, t.Alias
		if t.Alias != "" {
			p.Groups = append(slices.Clip(p.Groups), t.Alias)
		}
		if p.OrgID == "" {
			p.OrgID = t.OrgID
		}
		for _, tag := range t.Tags {
			if !slices.Contains(p.Tags, tag) {
				p.Tags = append(slices.Clip(p.Tags), tag)
			}
		}
		p.Member, _ = d.members.get(id(account.MemberID(p.TeamID, p.UserID)))
		if t.Blocked {
			p.refused = "Authentication Error, Team=" + t.ID + " is blocked. Update via `/team/unblock` if you're an admin."
		}
	}
	p.Org, _ = d.orgs.get(id(p.OrgID))
}

// admit lets the principal in unless something is wrong with it as a whole.
func (p *Principal) admit(now time.Time) (*Principal, *llm.Error) {
	if p.refused != "" {
		return nil, unauthorized(p.refused)
	}
	if k := p.Key; k != nil && k.Expires != 0 && now.UnixMilli() >= k.Expires {
		e := unauthorized("Authentication Error - Expired Key. Key Expiry time " + stamp(time.UnixMilli(k.Expires)) + " and current time " + stamp(now))
		e.Type, e.Param = "expired_key", k.Name
		return nil, e
	}
	return p, nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999-07:00") }

// In reports whether the principal may use what is for some groups only: it is in one of them, nobody is named, or it is an administrator.
func (p *Principal) In(groups []string) bool {
	if len(groups) == 0 || p.Admin {
		return true
	}
	for _, g := range p.Groups {
		if slices.Contains(groups, g) {
			return true
		}
	}
	return false
}
