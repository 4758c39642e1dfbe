package egress

import (
	"fmt"
	"time"
)

// Timeouts of one call; 0 means none, except that Connect is then Options.DialTimeout.
type Timeouts struct {
	Connect   time.Duration // until there is a connection: DNS, TCP and TLS
	FirstByte time.Duration // from then until the answer's head is complete
	Idle      time.Duration // for each read of the body
	Total     time.Duration // until the end of the body
}

// Phases of a call that can time out.
const (
	PhaseConnect   = "connect"
	PhaseFirstByte = "first_byte"
	PhaseIdle      = "idle"
	PhaseTotal     = "total"
)

// TimeoutError says which phase of a call took longer than it may.
type TimeoutError struct {
	Phase string
	After time.Duration
}

func (e *TimeoutError) Error() string {
	switch e.Phase {
	case PhaseConnect:
		return fmt.Sprintf("could not connect to the upstream within %v", e.After)
	case PhaseFirstByte:
		return fmt.Sprintf("the upstream did not begin to answer within %v", e.After)
	case PhaseIdle:
		return fmt.Sprintf("the upstream stopped sending in the middle of its answer for %v", e.After)
	}
	return fmt.Sprintf("the call was not finished within %v", e.After)
}

// Timeout is true, as net.Error wants it.
func (e *TimeoutError) Timeout() bool { return true }

// Temporary is true: the same call may work later.
func (e *TimeoutError) Temporary() bool { return true }
