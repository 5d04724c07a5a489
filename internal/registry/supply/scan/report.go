package scan

import (
	"encoding/json"
	"fmt"
)

// MediaType is the media type of a Report and the artifact type of its referrer.
const MediaType = "application/vnd.towpath.scan.v1+json"

// Report is the document that is kept beside the image.
type Report struct {
	V          int       `json:"v"`
	Repository string    `json:"repository"`
	Verdict    Verdict   `json:"verdict"`
	Findings   []Finding `json:"findings"`
}

// Encode returns the document; equal reports give equal bytes.
func (r Report) Encode() ([]byte, error) {
	r.V = 1
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding the scan report: %w", err)
	}
	return append(b, '\n'), nil
}
