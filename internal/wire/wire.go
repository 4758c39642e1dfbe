// Package wire handles bytes: the top-level scan and splice of a JSON body, the lenient reading and the writing of JSON, server-sent
// events, and AWS's event-stream framing.
//
// It is on the hot path, imports nothing of ours and may be imported by anyone.
package wire
