package seed

import (
	"bytes"
	"compress/gzip"
	_ "embed" // For the data file.
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"towpath.dev/towpath/internal/registry/supply/advisory"
)

//go:embed go.json.gz
var data []byte

// Source is the name under which the seed's advisories are stored.
const Source = "built-in:golang/vulndb"

// maxSeed bounds the unpacked seed, as a guard against a damaged file.
const maxSeed = 64 << 20

// Date returns the date of the newest built-in advisory, without unpacking them.
func Date() (time.Time, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return time.Time{}, fmt.Errorf("opening the built-in advisories: %w", err)
	}
	return z.ModTime.UTC(), nil
}

// Records returns the built-in advisories.
func Records() ([]advisory.Record, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("opening the built-in advisories: %w", err)
	}
	var records []advisory.Record
	if err := json.NewDecoder(io.LimitReader(z, maxSeed)).Decode(&records); err != nil {
		return nil, fmt.Errorf("reading the built-in advisories: %w", err)
	}
	return records, nil
}

// Write packs the facts of records: sorted by id, without prose and without what
// cannot occur in an image (the "toolchain" is not linked into a program). The header's
// time is the date of the newest. Equal input gives equal bytes.
func Write(w io.Writer, records []advisory.Record) error {
	facts := make([]advisory.Record, 0, len(records))
	var date time.Time
	for _, r := range records {
		r.Summary = ""
		r.Affected = slices.DeleteFunc(slices.Clone(r.Affected), func(a advisory.Affected) bool { return a.Package == "toolchain" })
		if len(r.Affected) > 0 {
			facts = append(facts, r)
			if r.Modified.After(date) {
				date = r.Modified
			}
		}
	}
	slices.SortFunc(facts, func(a, b advisory.Record) int { return strings.Compare(a.ID, b.ID) })
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("packing advisories: %w", err)
	}
	if !date.IsZero() {
		z.ModTime = date // In whole seconds; Date reads it.
	}
	if err := json.NewEncoder(z).Encode(facts); err != nil {
		return fmt.Errorf("packing advisories: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("packing advisories: %w", err)
	}
	return nil
}
