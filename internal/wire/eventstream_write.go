package wire

import (
	"encoding/binary"
	"hash/crc32"
)

// AppendEvent appends one message of AWS's event stream (application/vnd.amazon.eventstream) with a JSON payload and the three
// headers every Bedrock event has: :event-type, :content-type and :message-type "event".
func AppendEvent(dst []byte, eventType string, payload []byte) []byte {
	return appendMessage(dst, "event", ":event-type", eventType, payload)
}

// AppendException appends a message of type "exception", which ends a stream with a modelled error (throttlingException ...).
func AppendException(dst []byte, exceptionType string, payload []byte) []byte {
	return appendMessage(dst, "exception", ":exception-type", exceptionType, payload)
}

func appendMessage(dst []byte, messageType, typeHeader, typeName string, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, 12)...) // total length, headers length, prelude checksum: filled in below
	dst = appendStringHeader(dst, typeHeader, typeName)
	dst = appendStringHeader(dst, ":content-type", "application/json")
	dst = appendStringHeader(dst, ":message-type", messageType)
	headers := len(dst) - start - 12
	dst = append(dst, payload...)
	m := dst[start:]
	binary.BigEndian.PutUint32(m[0:], uint32(len(m)+4))
	binary.BigEndian.PutUint32(m[4:], uint32(headers))
	binary.BigEndian.PutUint32(m[8:], crc32.ChecksumIEEE(m[:8]))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(m))
}

// appendStringHeader appends a header of type 7, a string with a 16-bit length.
func appendStringHeader(dst []byte, name, value string) []byte {
	dst = append(dst, byte(len(name)))
	dst = append(dst, name...)
	dst = append(dst, 7)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}
