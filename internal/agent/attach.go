package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"towpath.dev/towpath/internal/pipeline/protocol"
)

// file opens a file of the workspace that a command names.
func (s *stepRun) file(name string) (io.ReadCloser, string, error) {
	if name = strings.TrimSpace(name); name == "" {
		return nil, "", errors.New("it needs the path of a file")
	}
	rel, err := s.space.inside(s.space.path(dirSources), name)
	if err != nil {
		return nil, "", err
	}
	f, info, err := s.space.open(rel)
	if err != nil {
		return nil, "", fmt.Errorf("reading %s: %w", name, err)
	}
	if info.Size() > protocol.MaxAttachment {
		return nil, "", errors.Join(fmt.Errorf("%s is larger than %d MiB", name, protocol.MaxAttachment>>20), f.Close())
	}
	return f, filepath.ToSlash(rel), nil
}

// attach brings a file of the workspace to the server as an attachment of the step. A text
// has its secrets hidden.
func (s *stepRun) attach(kind, name, from string) error {
	f, rel, err := s.file(from)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(io.LimitReader(f, protocol.MaxAttachment))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("reading %s: %w", from, err)
	}
	if name == "" {
		name = path.Base(rel)
	}
	return s.attachContent(kind, name, raw)
}

// attachContent brings content to the server as an attachment of the step.
func (s *stepRun) attachContent(kind, name string, content []byte) error {
	if utf8.Valid(content) {
		content = s.masker.Bytes(content)
	}
	header, err := json.Marshal(protocol.AttachmentHeader{Step: s.step.Number, Type: s.text(kind), Name: s.text(name)})
	if err != nil {
		return err
	}
	err = retry(s.ctx, func() error {
		res, err := s.agent.client.send(s.ctx, http.MethodPost, path.Join("jobs", s.job.ID, "attachments"), s.job.Lease, bytes.NewReader(content),
			http.Header{protocol.HeaderAttachment: {string(header)}})
		if err == nil {
			drain(res.Body)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("attaching %s: %w", name, err)
	}
	return nil
}

// addAttachment is task.addattachment (L011).
func (s *stepRun) addAttachment(c command) error {
	kind, err := c.need("type")
	if err != nil {
		return err
	}
	name, err := c.need("name")
	if err != nil {
		return err
	}
	for _, v := range []string{kind, name} {
		if strings.ContainsAny(v, "\"/:<>\\|?*\n") {
			return fmt.Errorf("type and name hold none of \" / : < > \\ | ? *, but one is %q", v)
		}
	}
	return s.attach(kind, name, c.data)
}

// uploadFile is task.uploadfile (L012): the file can be had beside the log of the step.
func (s *stepRun) uploadFile(c command) error { return s.attach(protocol.AttachmentFile, "", c.data) }

// uploadLog is build.uploadlog (L014).
func (s *stepRun) uploadLog(c command) error { return s.attach(protocol.AttachmentLog, "", c.data) }

// uploadSummary is task.uploadsummary and build.uploadsummary (L013, L014): Markdown that
// the page of the run shows.
func (s *stepRun) uploadSummary(c command) error {
	base := path.Base(filepath.ToSlash(strings.TrimSpace(c.data)))
	return s.attach(protocol.AttachmentSummary, strings.TrimSuffix(base, path.Ext(base)), c.data)
}

// artifactUpload is artifact.upload (L017). containerfolder names a folder in a container
// of the service, which here every artifact has of its own.
func (s *stepRun) artifactUpload(c command) error {
	name, err := c.need("artifactname")
	if err != nil {
		return err
	}
	if strings.TrimSpace(c.data) == "" {
		return errors.New("it needs the path of a file or folder")
	}
	return s.publish(s.ctx, name, c.data)
}

// associations are the kinds of artifact that lie elsewhere.
var associations = []string{"container", "filepath", "versioncontrol", "gitref", "tfvclabel"}

// artifactAssociate is artifact.associate (L018): it notes where an artifact lies that is
// not kept here.
func (s *stepRun) artifactAssociate(c command) error {
	name, err := c.need("artifactname")
	if err != nil {
		return err
	}
	kind, err := c.need("artifacttype")
	if err != nil {
		return err
	}
	if !containsFold(associations, kind) {
		return fmt.Errorf("artifacttype is one of %s, not %q", strings.Join(associations, ", "), kind)
	}
	if strings.TrimSpace(c.data) == "" {
		return errors.New("it needs the place of the artifact")
	}
	return s.attachContent(protocol.AttachmentAssociated+"."+strings.ToLower(kind), name, []byte(strings.TrimSpace(c.data)))
}

// resultsPublish is results.publish (L019).
func (s *stepRun) resultsPublish(c command) error {
	kind, err := c.need("type")
	if err != nil {
		return err
	}
	given, err := c.need("resultfiles")
	if err != nil {
		return err
	}
	var files []string
	for _, name := range list(given) {
		rel, err := s.space.inside(s.space.path(dirSources), name)
		if err != nil {
			return err
		}
		files = append(files, rel)
	}
	return s.sendTests(s.ctx, files, testOptions{
		Format: kind, Title: c.props["runtitle"], Merge: c.flag("mergeresults"), FailOnFailed: c.flag("failtaskonfailedtests"),
	})
}

// coveragePublish is codecoverage.publish (L021): the totals of the summary, the report as
// an artifact, the additional files as another.
func (s *stepRun) coveragePublish(c command) error {
	if _, err := c.need("codecoveragetool"); err != nil {
		return err
	}
	summary, err := c.need("summaryfile")
	if err != nil {
		return err
	}
	rel, err := s.space.inside(s.space.path(dirSources), summary)
	if err != nil {
		return err
	}
	if err := s.sendCoverage(s.ctx, []string{rel}, false); err != nil {
		return err
	}
	if dir := c.props["reportdirectory"]; dir != "" {
		if err := s.publish(s.ctx, fmt.Sprintf("Code Coverage Report_%d", s.job.Run), dir); err != nil {
			return err
		}
	}
	for i, more := range list(c.props["additionalcodecoveragefiles"]) {
		if err := s.attach(protocol.AttachmentFile, fmt.Sprintf("coverage-%d-%s", i+1, path.Base(filepath.ToSlash(more))), more); err != nil {
			return err
		}
	}
	return nil
}

// publishCoverage is PublishCodeCoverageResults@2 (K031).
func publishCoverage(ctx context.Context, s *stepRun) error {
	base := s.space.path(dirSources)
	var files []string
	for _, pattern := range strings.Split(s.input("summaryFileLocation"), "\n") {
		if pattern = strings.TrimSpace(pattern); pattern == "" {
			continue
		}
		found, err := s.find(base, []string{pattern})
		if err != nil {
			return err
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		why := "no coverage file matches " + s.input("summaryFileLocation")
		if s.flag("failIfCoverageEmpty", false) {
			return errors.New(why)
		}
		s.print("##[warning]" + why)
		return nil
	}
	return s.sendCoverage(ctx, files, s.flag("failIfCoverageEmpty", false))
}

// sendCoverage has the server read coverage files; empty says that no line at all is an
// error.
func (s *stepRun) sendCoverage(ctx context.Context, files []string, empty bool) error {
	var entries []entry
	for _, f := range files {
		entries = append(entries, entry{name: filepath.ToSlash(f), path: f})
	}
	var body bytes.Buffer
	if err := s.space.pack(&body, entries); err != nil {
		return err
	}
	res, err := s.agent.client.send(ctx, http.MethodPost, path.Join("jobs", s.job.ID, "coverage"), s.job.Lease, &body, nil)
	if err != nil {
		return fmt.Errorf("publishing the coverage: %w", err)
	}
	defer drain(res.Body)
	var reply protocol.CoverageReply
	if err := json.NewDecoder(io.LimitReader(res.Body, protocol.MaxJSON)).Decode(&reply); err != nil {
		return fmt.Errorf("publishing the coverage: %w", err)
	}
	for _, bad := range reply.Invalid {
		s.print("##[warning]Not read: " + bad)
	}
	s.print(fmt.Sprintf("Published the coverage of %d files: %d of %d lines (%s), %d of %d branches", len(files)-len(reply.Invalid),
		reply.LinesCovered, reply.Lines, share(reply.LinesCovered, reply.Lines), reply.BranchesCovered, reply.Branches))
	if empty && reply.Lines == 0 {
		return errors.New("the coverage holds no lines")
	}
	return nil
}

// share is a part of a whole in percent.
func share(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}
