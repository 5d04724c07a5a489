package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	"towpath.dev/towpath/internal/pipeline/protocol"
)

// testOptions say how test results are published.
type testOptions struct {
	Format    string // JUnit, NUnit, XUnit, VSTest or CTest
	Title     string
	Merge     bool // one test run for all the files
	FailOnBad bool // a file that cannot be read fails the step
	// FailOnFailed says that a test that failed fails the step.
	FailOnFailed bool
}

// publishTests is PublishTestResults@2: it brings result files to the server, which
// reads them (K025).
func publishTests(ctx context.Context, s *stepRun) error {
	folder := s.input("searchFolder")
	if folder == "" {
		folder = s.space.path(dirSources)
	}
	files, err := s.find(folder, strings.Split(s.input("testResultsFiles"), "\n"))
	if err != nil {
		return fmt.Errorf("looking for test results in %s: %w", folder, err)
	}
	if len(files) == 0 {
		why := fmt.Sprintf("no test result files match %s in %s", strings.Join(list(s.input("testResultsFiles")), ", "), folder)
		if s.flag("failTaskOnMissingResultsFile", false) {
			return errors.New(why)
		}
		s.print("##[warning]" + why)
		return nil
	}
	return s.sendTests(ctx, files, testOptions{
		Format: s.input("testRunner", "testResultsFormat"), Title: s.input("testRunTitle"), Merge: s.flag("mergeTestResults", false),
		FailOnBad: s.flag("failTaskOnFailureToPublishResults", false), FailOnFailed: s.flag("failTaskOnFailedTests", false),
	})
}

// sendTests brings result files of the workspace to the server.
func (s *stepRun) sendTests(ctx context.Context, files []string, o testOptions) error {
	var entries []entry
	for _, f := range files {
		entries = append(entries, entry{name: filepath.ToSlash(f), path: f})
	}
	var body bytes.Buffer
	if err := s.space.pack(&body, entries); err != nil {
		return err
	}
	if o.Format == "" {
		o.Format = "JUnit"
	}
	header, err := json.Marshal(protocol.TestsHeader{Title: s.text(o.Title), Format: o.Format, Merge: o.Merge})
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
	case reply.Failed > 0 && o.FailOnFailed:
		return fmt.Errorf("%d of %d tests failed", reply.Failed, reply.Total)
	case len(reply.Invalid) > 0 && o.FailOnBad:
		return fmt.Errorf("%d result files could not be read: %s", len(reply.Invalid), reply.Invalid[0])
	}
	return nil
}
