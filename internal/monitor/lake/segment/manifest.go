package segment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Info is what the manifest says of a segment.
type Info struct {
	ID      uint64    `json:"id"`
	Table   string    `json:"table"`
	Columns []string  `json:"columns"` // of the file, in its order
	Rows    int64     `json:"rows"`
	Raw     int64     `json:"raw"`   // bytes of the rows before compression
	Bytes   int64     `json:"bytes"` // of the Parquet file
	Index   int64     `json:"index"` // bytes of the index
	Min     int64     `json:"min"`   // of TimeGenerated in ticks
	Max     int64     `json:"max"`
	Arrived time.Time `json:"arrived"` // when the youngest row came
	// The digests of both files in the blob store, "" when they lie in the folder only.
	Data      string `json:"data,omitempty"`
	IndexData string `json:"index_data,omitempty"`
}

// Stored returns the bytes of both files.
func (i Info) Stored() int64 { return i.Bytes + i.Index }

// Manifest says which segments count.
type Manifest struct {
	Version  int    `json:"version"`
	Next     uint64 `json:"next"`   // ID of the next segment
	Sealed   uint64 `json:"sealed"` // last file of the log whose rows are all in segments
	Segments []Info `json:"segments"`
	Trash    []Info `json:"trash"` // that count no more and may not be removed yet

	// Lake is the name of the lake, which it gives itself, when segments live in a blob store;
	// Before is the lake that lost its disk and whose segments this one took over.
	Lake   string `json:"lake,omitempty"`
	Before string `json:"before,omitempty"`
}

// Fresh reports whether no lake ever wrote the manifest.
func (m *Manifest) Fresh() bool {
	return m.Lake == "" && m.Next == 1 && m.Sealed == 0 && len(m.Segments) == 0
}

// Complete reports whether the blob store has all segments.
func (m *Manifest) Complete() bool {
	return !slices.ContainsFunc(m.Segments, func(i Info) bool { return i.Data == "" })
}

const (
	manifestName    = "manifest.json"
	manifestVersion = 1
)

// LoadManifest reads the manifest of a folder; of a new folder it is empty.
func LoadManifest(dir string) (*Manifest, error) {
	b, err := os.ReadFile(filepath.Join(dir, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return &Manifest{Version: manifestVersion, Next: 1}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	return parseManifest(b)
}

func parseManifest(b []byte) (*Manifest, error) {
	m := &Manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("reading the manifest: it has version %d, this program knows %d", m.Version, manifestVersion)
	}
	return m, nil
}

// Save makes the manifest the one of the folder; it is durable when Save returns.
func (m *Manifest) Save(dir string) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	return WriteFile(filepath.Join(dir, manifestName), b)
}

// WriteFile replaces a file: after a crash it has the old bytes or the new ones.
func WriteFile(path string, b []byte) error {
	if err := writeSynced(path+".tmp", b); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", filepath.Base(path), err), os.Remove(path+".tmp"))
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	return SyncPath(filepath.Dir(path))
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// SyncPath makes a file, or the names in a folder, durable.
func SyncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
