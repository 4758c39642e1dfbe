package fleet

import "errors"

// What a Store or the Fleet answers when it can't.
var (
	ErrNotFound = errors.New("no such model")
	ErrExists   = errors.New("a model with that id exists")
	ErrConflict = errors.New("the model was changed by another request")
)
