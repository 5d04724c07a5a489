package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// publishArtifact is PublishPipelineArtifact@1, the task behind "publish".
func publishArtifact(ctx context.Context, s *stepRun) error {
	name := s.input("artifactName")
	if name == "" {
		// The default of the service: the job's own name.
		name = s.job.Stage + "." + s.job.Name
	}
	from := s.input("path")
	rel, err := s.space.inside(s.space.path(dirSources), from)
	if err != nil {
		return err
	}
	entries, err := s.space.tree(rel, nil)
	if err != nil {
		return fmt.Errorf("publishing %s: %w", from, err)
	}
	if len(entries) == 0 {
		return fmt.Errorf("publishing %s: it holds no files", from)
	}
	body, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := s.space.pack(writer, entries)
		packed <- err
		_ = writer.CloseWithError(err)
	}()
	res, err := s.agent.client.send(ctx, http.MethodPut, "jobs/"+s.job.ID+"/artifacts/"+url.PathEscape(name), s.job.Lease, body, nil)
	_ = body.CloseWithError(io.ErrClosedPipe)
	if perr := <-packed; perr != nil && !errors.Is(perr, io.ErrClosedPipe) {
		return perr
	}
	if err != nil {
		return fmt.Errorf("publishing the artifact %s: %w", name, err)
	}
	defer drain(res.Body)
	var a protocol.Artifact
	if err := json.NewDecoder(res.Body).Decode(&a); err != nil {
		return fmt.Errorf("publishing the artifact %s: %w", name, err)
	}
	s.print(fmt.Sprintf("Published artifact %s: %d files, %d bytes, %s", a.Name, a.Files, a.Bytes, a.Digest))
	return nil
}

// downloadArtifact is DownloadPipelineArtifact@2, the task behind "download".
func downloadArtifact(ctx context.Context, s *stepRun) error {
	if source := s.input("source"); source != "" && source != "current" {
		return fmt.Errorf("download: only artifacts of this run can be downloaded (current), not of %q", source)
	}
	res, err := s.agent.client.send(ctx, http.MethodGet, "jobs/"+s.job.ID+"/artifacts", s.job.Lease, nil, nil)
	if err != nil {
		return fmt.Errorf("asking for the artifacts: %w", err)
	}
	var all []protocol.Artifact
	err = json.NewDecoder(io.LimitReader(res.Body, protocol.MaxJSON)).Decode(&all)
	drain(res.Body)
	if err != nil {
		return fmt.Errorf("asking for the artifacts: %w", err)
	}
	want := s.input("artifact")
	found := false
	for _, a := range all {
		if want != "" && !strings.EqualFold(a.Name, want) {
			continue
		}
		found = true
		// The short form gives every artifact its own folder, the task a named one
		// none.
		to := s.input("path")
		if to == "" {
			to = s.space.dir
		}
		if s.step.Kind == plan.StepDownload && to == s.space.dir || want == "" {
			to = filepath.Join(to, a.Name)
		}
		if err := s.fetchArtifact(ctx, a.Name, to); err != nil {
			return err
		}
	}
	if want != "" && !found {
		return fmt.Errorf("the run has no artifact %q; publish it in a stage or job before this one, and depend on that", want)
	}
	if len(all) == 0 {
		s.print("The run has no artifacts.")
	}
	return nil
}

// fetchArtifact unpacks one artifact into a folder.
func (s *stepRun) fetchArtifact(ctx context.Context, name, to string) error {
	rel, err := s.space.inside(s.space.path(dirSources), to)
	if err != nil {
		return err
	}
	if err := s.space.mkdirAll(filepath.ToSlash(rel)); err != nil {
		return fmt.Errorf("making the folder %s: %w", to, err)
	}
	var match func(string) bool
	if p := s.input("patterns"); p != "" && p != "**" {
		patterns := strings.Split(p, "\n")
		match = func(file string) bool { return matchAny(patterns, file) || matchAny(patterns, name+"/"+file) }
	}
	res, err := s.agent.client.send(ctx, http.MethodGet, "jobs/"+s.job.ID+"/artifacts/"+url.PathEscape(name), s.job.Lease, nil, nil)
	if err != nil {
		return fmt.Errorf("downloading the artifact %s: %w", name, err)
	}
	defer res.Body.Close()
	n, err := s.space.unpack(res.Body, rel, match)
	if err != nil {
		return fmt.Errorf("downloading the artifact %s: %w", name, err)
	}
	s.print(fmt.Sprintf("Downloaded artifact %s: %d files to %s", name, n, to))
	return nil
}

// publishTests is PublishTestResults@2: it brings result files to the server, which
// reads them.
func publishTests(ctx context.Context, s *stepRun) error {
	runner := s.input("testRunner")
	if runner != "" && !strings.EqualFold(runner, "JUnit") {
		return fmt.Errorf("test results in the format %s are not supported; use JUnit", runner)
	}
	folder := s.input("searchFolder")
	if folder == "" {
		folder = s.space.path(dirSources)
	}
	rel, err := s.space.inside(s.space.path(dirSources), folder)
	if err != nil {
		return err
	}
	patterns := strings.Split(s.input("testResultsFiles"), "\n")
	for i, p := range patterns {
		if p = strings.TrimSpace(p); filepath.IsAbs(p) {
			if patterns[i], err = filepath.Rel(filepath.Join(s.space.dir, rel), p); err != nil {
				return err
			}
		}
	}
	files, err := s.space.glob(rel, patterns)
	if err != nil {
		return fmt.Errorf("looking for test results in %s: %w", folder, err)
	}
	if len(files) == 0 {
		why := fmt.Sprintf("no test result files match %s in %s", strings.Join(patterns, ", "), folder)
		if s.flag("failTaskOnMissingResultsFile", false) {
			return errors.New(why)
		}
		s.print("##[warning]" + why)
		return nil
	}
	return s.sendTests(ctx, files)
}

func (s *stepRun) sendTests(ctx context.Context, files []string) error {
	var entries []entry
	for _, f := range files {
		entries = append(entries, entry{name: filepath.ToSlash(f), path: f})
	}
	var body bytes.Buffer
	if err := s.space.pack(&body, entries); err != nil {
		return err
	}
	header, err := json.Marshal(protocol.TestsHeader{Title: s.input("testRunTitle"), Format: "JUnit", Merge: s.flag("mergeTestResults", false)})
	if err != nil {
		return err
	}
	res, err := s.agent.client.send(ctx, http.MethodPost, "jobs/"+s.job.ID+"/tests", s.job.Lease, &body, http.Header{protocol.HeaderTests: {string(header)}})
	if err != nil {
		return fmt.Errorf("publishing test results: %w", err)
	}
	defer drain(res.Body)
	var reply protocol.TestsReply
	if err := json.NewDecoder(res.Body).Decode(&reply); err != nil {
		return fmt.Errorf("publishing test results: %w", err)
	}
	s.print(fmt.Sprintf("Published %d test runs from %d files: %d tests, %d passed, %d failed, %d skipped, %.2f s",
		reply.Runs, len(files), reply.Total, reply.Passed, reply.Failed, reply.Skipped, reply.Seconds))
	for _, bad := range reply.Invalid {
		s.print("##[warning]Not read: " + bad)
	}
	switch {
	case reply.Failed > 0 && s.flag("failTaskOnFailedTests", false):
		return fmt.Errorf("%d of %d tests failed", reply.Failed, reply.Total)
	case len(reply.Invalid) > 0 && s.flag("failTaskOnFailureToPublishResults", false):
		return fmt.Errorf("%d result files could not be read: %s", len(reply.Invalid), reply.Invalid[0])
	}
	return nil
}
