package tail

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// record is what the checkpoint knows of a file.
type record struct {
	Dir  string `json:"dir"` // "<namespace>_<pod>_<uid>/<container>"
	Run  int    `json:"run"`
	Name string `json:"name"`
	Dev  uint64 `json:"dev"`
	Ino  uint64 `json:"ino"`
	Head int    `json:"head"` // the fingerprint: how many bytes,
	Sum  string `json:"sum"`  // and their hash
	// Marks is up to where the server has the lines, Next the same once it has the parcel
	// of this checkpoint, too.
	Marks marks `json:"marks"`
	Next  marks `json:"next"`
	Done  bool  `json:"done,omitempty"`
}

// checkpoint is what a Tailer remembers over a restart: where it is in each file, and the
// parcel that it was sending.
type checkpoint struct {
	Files  []record `json:"files"`
	Parcel string   `json:"parcel,omitempty"` // its ID; "" when there is none
	Rows   int      `json:"rows,omitempty"`

	body []byte
}

const (
	stateName  = "checkpoint"
	stateMagic = "towpath-tail 1"
	stateMax   = 64 << 20
)

var errState = errors.New("the checkpoint is damaged")

// encode writes a line with the lengths and the checksum, the JSON and the parcel's body.
func (c *checkpoint) encode() ([]byte, error) {
	head, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	sum := crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, c.body)
	out := fmt.Appendf(nil, "%s %d %d %08x\n", stateMagic, len(head), len(c.body), sum)
	return append(append(out, head...), c.body...), nil
}

func decodeCheckpoint(raw []byte) (*checkpoint, error) {
	first, rest, ok := bytes.Cut(raw, []byte("\n"))
	if !ok || len(first) > 80 {
		return nil, errState
	}
	var head, body int
	var sum uint32
	if _, err := fmt.Sscanf(string(first), stateMagic+" %d %d %08x", &head, &body, &sum); err != nil || head < 0 || body < 0 || len(rest) != head+body {
		return nil, errState
	}
	if crc32.ChecksumIEEE(rest) != sum {
		return nil, errState
	}
	c := &checkpoint{body: rest[head:]}
	if err := json.Unmarshal(rest[:head], c); err != nil {
		return nil, errors.Join(errState, err)
	}
	if id, err := hex.DecodeString(c.Parcel); err != nil || (len(id) != 0 && len(id) != 16) {
		return nil, errState
	}
	return c, nil
}

// load reads the checkpoint. Without one it is empty. One that is damaged is put aside:
// everything that is there is then read again, which doubles lines but loses none.
func load(dir string) (c *checkpoint, damaged bool, err error) {
	path := filepath.Join(dir, stateName)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &checkpoint{}, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("reading the checkpoint: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, stateMax))
	if err != nil {
		return nil, false, fmt.Errorf("reading the checkpoint: %w", err)
	}
	if c, err = decodeCheckpoint(raw); err != nil {
		if err := os.Rename(path, path+".damaged"); err != nil {
			return nil, true, fmt.Errorf("putting the damaged checkpoint aside: %w", err)
		}
		return &checkpoint{}, true, nil
	}
	return c, false, nil
}

// save replaces the checkpoint: after a crash there is the old one or the new one.
func save(dir string, c *checkpoint) error {
	raw, err := c.encode()
	if err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	path := filepath.Join(dir, stateName)
	if err := writeSynced(path+".new", raw); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	return nil
}

func writeSynced(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
