//go:build !linux

package ingress

import "errors"

// watcher exists on Linux only.
type watcher struct{}

func newWatcher() (*watcher, error) { return nil, errors.ErrUnsupported }

func (*watcher) add(*conn) error { return errors.ErrUnsupported }
func (*watcher) remove(*conn)    {}
func (*watcher) close()          {}
