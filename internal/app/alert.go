package app

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/weir-gateway/weir/internal/account"
	"github.com/weir-gateway/weir/internal/egress"
	"github.com/weir-gateway/weir/internal/limit"
)

// alertTimeouts bound one attempt to tell of a budget; alertTries is how many there are, each after twice the wait of the one before.
var alertTimeouts = egress.Timeouts{Connect: 5 * time.Second, FirstByte: 10 * time.Second, Total: 15 * time.Second}

const (
	alertTries = 5
	alertWait  = time.Second
)

// alertEvent is what a webhook is told, with LiteLLM's names.
type alertEvent struct {
	Event     string   `json:"event"` // budget_crossed or soft_budget_crossed
	Group     string   `json:"event_group"`
	Message   string   `json:"event_message"`
	Spend     float64  `json:"spend"`
	MaxBudget *float64 `json:"max_budget"`
	Soft      *float64 `json:"soft_budget"`
	Token     *string  `json:"token"` // a key's hash
	KeyAlias  *string  `json:"key_alias"`
	UserID    *string  `json:"user_id"`
	TeamID    *string  `json:"team_id"`
	OrgID     *string  `json:"organization_id"`
	Customer  *string  `json:"customer_id"`
	Tag       *string  `json:"tag"`
	Model     *string  `json:"model"`
	ResetAt   *string  `json:"budget_reset_at"`
}

func newAlert(c limit.Crossing) alertEvent {
	e := alertEvent{Event: "budget_crossed", Group: string(c.Subject.Kind), Spend: c.Spent.USD()}
	amount := c.Limit.USD()
	e.MaxBudget, e.Message = &amount, "Budget Crossed"
	if c.Soft {
		e.Event, e.Message, e.MaxBudget, e.Soft = "soft_budget_crossed", "Soft Budget Crossed", nil, &amount
	}
	id := c.Subject.ID
	switch c.Subject.Kind {
	case account.OfKey:
		e.Group, e.Token, e.KeyAlias = "key", &id, &c.Alias
	case account.OfUser:
		e.Group, e.UserID = "internal_user", &id
	case account.OfTeam:
		e.TeamID = &id
	case account.OfMember:
		team, user := account.SplitMemberID(id)
		e.TeamID, e.UserID = &team, &user
	case account.OfOrg:
		e.OrgID = &id
	case account.OfCustomer:
		e.Group, e.Customer = "customer", &id
	case account.OfTag:
		e.Tag = &id
	case account.OfGateway:
		e.Group = "proxy"
	}
	if c.Subject.Model != "" {
		e.Model = &c.Subject.Model
	}
	if c.ResetAt != 0 {
		at := time.UnixMilli(c.ResetAt).UTC().Format(time.RFC3339)
		e.ResetAt = &at
	}
	return e
}

// alert tells the log, and the webhook if there is one, that a budget was reached. It runs in a goroutine of its own.
func (a *App) alert(c limit.Crossing) {
	e := newAlert(c)
	a.log.Warn("a budget was reached", "event", e.Event, "kind", c.Subject.Kind, "id", c.Subject.ID, "model", c.Subject.Model,
		"spend", e.Spend, "limit", c.Limit.USD())
	url := a.Config().General.AlertWebhook.Reveal()
	if url == "" {
		url = a.Config().Env("WEBHOOK_URL")
	}
	if url == "" {
		return
	}
	body, err := json.Marshal(e)
	if err != nil {
		a.log.Error("an alert could not be written", "error", err)
		return
	}
	wait := alertWait
	for try := 1; ; try++ {
		if err = a.tell(url, body); err == nil {
			return
		}
		if try == alertTries {
			break
		}
		select {
		case <-a.closing:
			return
		case <-time.After(wait):
		}
		wait *= 2
	}
	a.log.Error("the alert webhook did not take an alert", "error", err)
}

func (a *App) tell(url string, body []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), alertTimeouts.Total)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.egress.Do(req, alertTimeouts)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return &statusError{resp.StatusCode}
	}
	return nil
}

type statusError struct{ status int }

func (e *statusError) Error() string { return "it answered " + http.StatusText(e.status) }
