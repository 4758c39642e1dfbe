package usage

import (
	"encoding/binary"
	"hash/crc32"
)

// A journal segment is a row of frames: a mark, the payload's length and its CRC-32C, then the payload. A frame that was written in part
// never checks out, and the mark lets a reader find the next whole one behind damage.
const (
	frameMark   = 0x57454952 // "WEIR"
	frameHeader = 12
	maxFrame    = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// beginFrame reserves the header; endFrame fills it in once the payload follows.
func beginFrame(dst []byte) []byte { return append(dst, make([]byte, frameHeader)...) }

func endFrame(dst []byte, start int) {
	payload := dst[start+frameHeader:]
	binary.LittleEndian.PutUint32(dst[start:], frameMark)
	binary.LittleEndian.PutUint32(dst[start+4:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(dst[start+8:], crc32.Checksum(payload, castagnoli))
}

// frameAt gives the payload of the frame that begins b. whole is false if b ends before the frame does; ok is false if it is no frame.
func frameAt(b []byte) (payload []byte, size int, whole, ok bool) {
	if len(b) < frameHeader {
		return nil, 0, false, true
	}
	n := binary.LittleEndian.Uint32(b[4:])
	if binary.LittleEndian.Uint32(b) != frameMark || n > maxFrame {
		return nil, 0, true, false
	}
	size = frameHeader + int(n)
	if len(b) < size {
		return nil, size, false, true
	}
	payload = b[frameHeader:size]
	return payload, size, true, crc32.Checksum(payload, castagnoli) == binary.LittleEndian.Uint32(b[8:])
}

// resync finds the next whole frame in b behind damage at its start; -1: there is none.
func resync(b []byte) int {
	for i := 1; i+frameHeader <= len(b); i++ {
		if binary.LittleEndian.Uint32(b[i:]) != frameMark {
			continue
		}
		if _, _, whole, ok := frameAt(b[i:]); whole && ok {
			return i
		}
	}
	return -1
}
