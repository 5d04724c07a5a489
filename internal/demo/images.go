package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// image is an image as the command line shows it.
type image struct {
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Run        int64  `json:"run"`
}

// report is an image's evidence as the command line shows it.
type report struct {
	Referrers []struct {
		ArtifactType string `json:"artifact_type"`
		Digest       string `json:"digest"`
	} `json:"referrers"`
	Report *struct {
		Scanned bool `json:"scanned"`
		Verdict struct {
			Status     string
			Critical   int
			High       int
			Packages   int
			Advisories time.Time
		} `json:"verdict"`
		Packages   []any `json:"packages"`
		Documents  []struct{ Kind, Digest string }
		Signatures []struct {
			Digest, Identity string
			Verified         bool
		}
		Provenance *struct {
			Digest    string
			Verified  bool
			Statement json.RawMessage
		}
	} `json:"report"`
}

// eachImage reads the report of every image, waiting for it as long as the product
// promises and some more, and keeps what take finds in it.
func (t *tour) eachImage(ctx context.Context, take func(report) (any, error)) (map[string]any, error) {
	out := map[string]any{}
	for _, i := range t.images {
		err := until(ctx, 30*time.Second, i.Repository, func() (bool, error) {
			var r report
			if err := t.read(ctx, &r, "image", "show", i.Repository+"@"+i.Digest); err != nil {
				return false, err
			}
			if r.Report == nil {
				return false, errors.New("there is no report yet")
			}
			v, err := take(r)
			out[i.Repository] = v
			return err == nil, err
		})
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (t *tour) sbom(ctx context.Context) (found, error) {
	packages := 0
	evidence, err := t.eachImage(ctx, func(r report) (any, error) {
		docs := map[string]string{}
		for _, d := range r.Report.Documents {
			docs[d.Kind] = d.Digest
		}
		if docs["spdx"] == "" || docs["cyclonedx"] == "" || len(r.Report.Packages) == 0 {
			return nil, errors.New("the SBOMs are missing")
		}
		packages = len(r.Report.Packages)
		return map[string]any{"spdx": docs["spdx"], "cyclonedx": docs["cyclonedx"], "packages": len(r.Report.Packages)}, nil
	})
	return found{detail: fmt.Sprintf("SPDX and CycloneDX of each image, %d packages in the last", packages), evidence: evidence}, err
}

func (t *tour) scan(ctx context.Context) (found, error) {
	status := ""
	evidence, err := t.eachImage(ctx, func(r report) (any, error) {
		if !r.Report.Scanned {
			return nil, errors.New("the image is not scanned yet")
		}
		v := r.Report.Verdict
		status = fmt.Sprintf("%s, advisory data of %s", v.Status, v.Advisories.Format(time.DateOnly))
		return map[string]any{"status": v.Status, "critical": v.Critical, "high": v.High, "packages": v.Packages, "advisories": v.Advisories}, nil
	})
	return found{detail: status, evidence: evidence}, err
}

func (t *tour) sign(ctx context.Context) (found, error) {
	identity := ""
	evidence, err := t.eachImage(ctx, func(r report) (any, error) {
		for _, s := range r.Report.Signatures {
			if s.Verified && r.Report.Provenance != nil && r.Report.Provenance.Verified && bytes.Contains(r.Report.Provenance.Statement, []byte(t.commit)) {
				identity = s.Identity
				return map[string]any{"signature": s.Digest, "identity": s.Identity, "provenance": r.Report.Provenance.Digest}, nil
			}
		}
		return nil, errors.New("there is no valid signature and provenance that names the commit")
	})
	if err != nil {
		return found{evidence: evidence}, err
	}
	worst, err := t.afterPush(ctx)
	evidence["seconds_after_push"] = worst
	return found{detail: fmt.Sprintf("signed by %s, provenance names the commit; the last document came %.1f s after its push", identity, worst), evidence: evidence}, err
}

// afterPush reads in the logbook how long after its push the last document about an
// image of the run was there: the worst of all images, in seconds.
func (t *tour) afterPush(ctx context.Context) (float64, error) {
	var all []struct {
		Time    time.Time
		Type    string
		Payload struct {
			Image  string
			Digest string
		}
	}
	if err := t.read(ctx, &all, "log", "list", "--limit", "1000"); err != nil {
		return 0, err
	}
	pushed, last := map[string]time.Time{}, map[string]time.Time{}
	for _, e := range all {
		switch e.Type {
		case "image.pushed":
			pushed[e.Payload.Digest] = e.Time
		case "sbom.created", "scan.finished", "image.signed", "provenance.created":
			if e.Time.After(last[e.Payload.Image]) {
				last[e.Payload.Image] = e.Time
			}
		}
	}
	worst := 0.0
	for _, i := range t.images {
		p, ok := pushed[i.Digest]
		if !ok || last[i.Digest].IsZero() {
			return 0, fmt.Errorf("the logbook does not tell when %s was pushed and described", i.Repository)
		}
		worst = max(worst, last[i.Digest].Sub(p).Seconds())
	}
	return worst, nil
}
