package event

// The payloads of events about images.

import "time"

// ImagePushed is the payload of TypeImagePushed: a manifest was put under a tag or
// by digest. The subject is the image. Link when a run pushed it: produced-by run.
// Referrers (SBOM, signature, …) are not announced by it.
type ImagePushed struct {
	V          int    `json:"v"`
	Repository string `json:"repository"` // "shop/web"
	Digest     string `json:"digest"`
	Tag        string `json:"tag,omitempty"`
	MediaType  string `json:"media_type"`
	Bytes      int64  `json:"bytes"` // config and layers, compressed
	Run        int64  `json:"run,omitempty"`
}

// ImageDeleted is the payload of TypeImageDeleted; the subject is the image.
type ImageDeleted struct {
	V          int    `json:"v"`
	Repository string `json:"repository"`
	Digest     string `json:"digest,omitempty"`
	Tag        string `json:"tag,omitempty"`
}

// SBOMCreated is the payload of TypeSBOMCreated; the subject is the sbom. Link:
// describes image.
type SBOMCreated struct {
	V          int    `json:"v"`
	Repository string `json:"repository"`
	Image      string `json:"image"`
	Digest     string `json:"digest"`
	Format     string `json:"format"` // spdx, cyclonedx
	Packages   int    `json:"packages"`
}

// ScanFinished is the payload of TypeScanFinished; the subject is the scan. Link:
// describes image.
type ScanFinished struct {
	V          int       `json:"v"`
	Scan       string    `json:"scan"`
	Repository string    `json:"repository"`
	Image      string    `json:"image"`
	Digest     string    `json:"digest,omitempty"` // of the report's referrer manifest
	Status     string    `json:"status"`           // clean, findings, no advisory data
	Critical   int       `json:"critical"`
	High       int       `json:"high"`
	Medium     int       `json:"medium"`
	Low        int       `json:"low"`
	Unknown    int       `json:"unknown"`
	Packages   int       `json:"packages"`
	Advisories time.Time `json:"advisories,omitzero"` // date of the advisory data
	Missing    []string  `json:"missing,omitempty"`   // ecosystems without advisory data
}

// ImageSigned is the payload of TypeImageSigned; the subject is the signature.
// Link: describes image.
type ImageSigned struct {
	V          int    `json:"v"`
	Repository string `json:"repository"`
	Image      string `json:"image"`
	Digest     string `json:"digest"`
	Identity   string `json:"identity"` // subject of the signing certificate
	Run        int64  `json:"run,omitempty"`
}

// ProvenanceCreated is the payload of TypeProvenanceCreated; the subject is the
// provenance. Link: describes image.
type ProvenanceCreated struct {
	V          int    `json:"v"`
	Repository string `json:"repository"`
	Image      string `json:"image"`
	Digest     string `json:"digest"`
	Builder    string `json:"builder"`
	Commit     string `json:"commit"`
	Run        int64  `json:"run"`
}

// AdvisoriesLoaded is the payload of TypeAdvisoriesLoaded; the subject is project:"".
type AdvisoriesLoaded struct {
	V         int       `json:"v"`
	Source    string    `json:"source"`
	Ecosystem string    `json:"ecosystem"`
	Count     int       `json:"count"`
	Date      time.Time `json:"date"`
}
