package agent

import (
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
	return s.publish(ctx, name, s.input("path"))
}

// publish makes a file or folder of the workspace an artifact of the run.
func (s *stepRun) publish(ctx context.Context, name, from string) error {
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

// download says which artifacts go where.
type download struct {
	artifact string // "" means all
	to       string // folder
	// nested gives the artifact a folder of its own name; all of them have one anyway.
	nested   bool
	patterns string     // lines; "" means everything
	from     url.Values // names another run; empty means this one
}

// source reads which run a download takes artifacts from.
func (s *stepRun) source(kind string) (url.Values, error) {
	if kind == "" || strings.EqualFold(kind, "current") {
		return nil, nil
	}
	q := url.Values{}
	set := func(key string, inputs ...string) {
		if v := s.input(inputs...); v != "" {
			q.Set(key, v)
		}
	}
	set(protocol.QueryPipeline, "pipeline", "definition")
	set(protocol.QueryProject, "project")
	if q.Get(protocol.QueryPipeline) == "" {
		return nil, errors.New("download: the input pipeline is empty; name a pipeline resource, or a pipeline of the project")
	}
	switch version := s.input("runVersion", "buildVersionToDownload"); strings.ToLower(version) {
	case "", "latest":
	case "latestfrombranch":
		set(protocol.QueryBranch, "runBranch", "branchName")
	case "specific":
		if set(protocol.QueryRun, "runId", "buildId"); q.Get(protocol.QueryRun) == "" {
			return nil, errors.New("download: the input runId is empty; name a run, or set runVersion to latest")
		}
	default:
		return nil, fmt.Errorf("download: runVersion is latest, latestFromBranch or specific, not %q", version)
	}
	set(protocol.QueryTags, "tags")
	set(protocol.QueryPartially, "allowPartiallySucceededBuilds")
	set(protocol.QueryFailed, "allowFailedBuilds")
	set(protocol.QueryTriggering, "preferTriggeringPipeline", "specificBuildWithTriggering")
	return q, nil
}

// artifactPath is the address of the artifacts of a run, or of one of them.
func (s *stepRun) artifactPath(from url.Values, name string) string {
	path := "jobs/" + s.job.ID + "/artifacts"
	if name != "" {
		path += "/" + url.PathEscape(name)
	}
	if len(from) > 0 {
		path += "?" + from.Encode()
	}
	return path
}

// downloadArtifact is DownloadPipelineArtifact@2, the task behind "download".
func downloadArtifact(ctx context.Context, s *stepRun) error {
	from, err := s.source(s.input("source", "buildType"))
	if err != nil {
		return err
	}
	d := download{artifact: s.input("artifact"), to: s.input("path"), patterns: s.input("patterns"), from: from}
	if d.to == "" {
		d.to = s.space.dir
	}
	// The short form gives every artifact its own folder, the task a named one none.
	d.nested = s.step.Kind == plan.StepDownload && d.to == s.space.dir
	if d.nested && len(from) > 0 {
		d.to = filepath.Join(d.to, from.Get(protocol.QueryPipeline)) // a folder for the resource
	}
	err = s.download(ctx, d)
	if r, ok := errors.AsType[*refusal](err); ok && r.status == http.StatusNotFound && s.step.Implicit {
		s.print("Nothing to download: " + err.Error()) // Nobody asked for it.
		return nil
	}
	return err
}

// publishBuildArtifact is PublishBuildArtifacts@1 (K026).
func publishBuildArtifact(ctx context.Context, s *stepRun) error {
	if where := s.input("publishLocation", "ArtifactType"); where != "" && !strings.EqualFold(where, "Container") {
		return fmt.Errorf("the publishLocation %s is not supported; use Container, and copy to a file share by a script", where)
	}
	name := s.input("ArtifactName")
	if name == "" {
		name = "drop"
	}
	return s.publish(ctx, name, s.input("PathtoPublish"))
}

// downloadBuildArtifact is DownloadBuildArtifacts@1 (K026): each artifact gets a folder of
// its own name.
func downloadBuildArtifact(ctx context.Context, s *stepRun) error {
	from, err := s.source(s.input("buildType"))
	if err != nil {
		return err
	}
	d := download{to: s.input("downloadPath"), nested: true, patterns: s.input("itemPattern"), from: from}
	if d.to == "" {
		d.to = s.space.path(dirStaging)
	}
	if kind := s.input("downloadType"); kind == "" || strings.EqualFold(kind, "single") {
		if d.artifact = s.input("artifactName"); d.artifact == "" {
			return errors.New("the input artifactName is empty; name an artifact, or set downloadType to specific")
		}
	}
	if s.flag("cleanDestinationFolder", false) {
		rel, err := s.space.inside(s.space.path(dirSources), d.to)
		if err != nil {
			return err
		}
		if err := s.space.clean(rel); err != nil {
			return err
		}
	}
	return s.download(ctx, d)
}

// download brings artifacts of the run.
func (s *stepRun) download(ctx context.Context, d download) error {
	res, err := s.agent.client.send(ctx, http.MethodGet, s.artifactPath(d.from, ""), s.job.Lease, nil, nil)
	if err != nil {
		return fmt.Errorf("asking for the artifacts: %w", err)
	}
	var all []protocol.Artifact
	err = json.NewDecoder(io.LimitReader(res.Body, protocol.MaxJSON)).Decode(&all)
	drain(res.Body)
	if err != nil {
		return fmt.Errorf("asking for the artifacts: %w", err)
	}
	found := false
	for _, a := range all {
		if d.artifact != "" && !strings.EqualFold(a.Name, d.artifact) {
			continue
		}
		found = true
		to := d.to
		if d.nested || d.artifact == "" {
			to = filepath.Join(to, a.Name)
		}
		if err := s.fetchArtifact(ctx, a.Name, to, d); err != nil {
			return err
		}
	}
	if d.artifact != "" && !found {
		return fmt.Errorf("the run has no artifact %q; publish it in a stage or job before this one, and depend on that", d.artifact)
	}
	if len(all) == 0 {
		s.print("The run has no artifacts.")
	}
	return nil
}

// fetchArtifact unpacks one artifact into a folder.
func (s *stepRun) fetchArtifact(ctx context.Context, name, to string, d download) error {
	rel, err := s.space.inside(s.space.path(dirSources), to)
	if err != nil {
		return err
	}
	if err := s.space.mkdirAll(filepath.ToSlash(rel)); err != nil {
		return fmt.Errorf("making the folder %s: %w", to, err)
	}
	var match func(string) bool
	if d.patterns != "" && d.patterns != "**" {
		patterns := strings.Split(d.patterns, "\n")
		match = func(file string) bool { return matchAny(patterns, file) || matchAny(patterns, name+"/"+file) }
	}
	res, err := s.agent.client.send(ctx, http.MethodGet, s.artifactPath(d.from, name), s.job.Lease, nil, nil)
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
