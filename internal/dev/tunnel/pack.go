package tunnel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// How a binary with a base is cut: each segment is packed against what stands near its
// place in the base, because a linker moves code by a little, and because an encoder
// indexes no more than a few MiB well. A changed program of 9.5 MB goes as 0.1 MB.
const (
	segment = 1 << 20
	reach   = 256 << 10 // before and behind the segment's place
	baseID  = 1         // of the dictionary; any number but 0
)

// maxWindow bounds the memory that unpacking takes.
const maxWindow = 128 << 20

// pack writes a binary as zstd; with a base as segments of zstd, each with its length
// before it in four bytes, most significant first.
func pack(w io.Writer, raw, base []byte) error {
	if len(base) == 0 {
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
		if err != nil {
			return fmt.Errorf("packing the binary: %w", err)
		}
		if _, err := io.Copy(z, bytes.NewReader(raw)); err != nil {
			_ = z.Close()
			return err
		}
		return z.Close()
	}
	for at := 0; at < len(raw); at += segment {
		z, err := zstd.NewWriter(nil, append(dictionary(base, at), zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))...)
		if err != nil {
			return fmt.Errorf("packing the binary: %w", err)
		}
		packed := z.EncodeAll(raw[at:min(at+segment, len(raw))], make([]byte, 4, segment/2))
		binary.BigEndian.PutUint32(packed, uint32(len(packed)-4))
		if _, err := w.Write(packed); err != nil {
			return err
		}
	}
	return nil
}

func dictionary(base []byte, at int) []zstd.EOption {
	near := around(base, at)
	if len(near) == 0 {
		return nil
	}
	return []zstd.EOption{zstd.WithWindowSize(4 << 20), zstd.WithEncoderDictRaw(baseID, near)}
}

// around returns what of the base serves for the segment at a place.
func around(base []byte, at int) []byte {
	from, to := max(at-reach, 0), min(at+segment+reach, len(base))
	if from >= to {
		return nil
	}
	return base[from:to]
}

// unpack is the reverse of pack.
func unpack(r io.Reader, base []byte) (io.ReadCloser, error) {
	if len(base) > 0 {
		return &segments{r: r, base: base}, nil
	}
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

// segments reads a binary that was packed against a base.
type segments struct {
	r    io.Reader
	base []byte
	at   int
	left []byte // of the segment that was unpacked last
}

// Read unpacks the next segment when the one before was read.
func (s *segments) Read(p []byte) (int, error) {
	for len(s.left) == 0 {
		if err := s.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

func (s *segments) next() error {
	var size [4]byte
	if _, err := io.ReadFull(s.r, size[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size[:])
	// What cannot be packed grows by a header and by three bytes a block.
	if n > segment+segment/64 {
		return errors.New("a segment is too long")
	}
	packed := make([]byte, n)
	if _, err := io.ReadFull(s.r, packed); err != nil {
		return errors.New("a segment was cut off")
	}
	options := []zstd.DOption{zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(segment), zstd.WithDecoderMaxWindow(8 << 20)}
	if near := around(s.base, s.at); len(near) > 0 {
		options = append(options, zstd.WithDecoderDictRaw(baseID, near))
	}
	z, err := zstd.NewReader(nil, options...)
	if err != nil {
		return err
	}
	defer z.Close()
	s.left, err = z.DecodeAll(packed, make([]byte, 0, segment))
	s.at += segment
	return err
}

// Close ends the reading.
func (s *segments) Close() error { return nil }
