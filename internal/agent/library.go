package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
	"towpath.dev/towpath/internal/pipeline/protocol"
)

// takeConnections keeps the service connections that the job was lent, for the tasks that
// name them (K002).
func (r *jobRun) takeConnections() {
	for _, c := range r.job.Connections {
		e := &endpoint{url: c.URL, authenticationAs: c.Scheme, data: map[string]string{}}
		for k, v := range c.Auth {
			e.setAuth(k, v)
			if !slices.Contains(c.Secret, v) {
				e.data[strings.ToUpper(k)] = v
			}
		}
		for _, text := range c.Secret {
			r.masker.Add(text)
		}
		r.endpoints[strings.ToLower(c.Name)] = e
	}
}

// downloadSecureFile is DownloadSecureFile@1: the file comes into the folder for temporary
// files, which goes with the job, and can be read by the user of the steps alone.
func downloadSecureFile(ctx context.Context, s *stepRun) error {
	want := s.input("secureFile")
	if want == "" {
		return errors.New("DownloadSecureFile needs the input secureFile")
	}
	at, err := s.placeSecureFile(ctx, want, dirTemp)
	if err != nil {
		return err
	}
	s.setOutput(s.outputName(), "secureFilePath", plan.Value{Text: s.space.path(at)})
	s.print("Downloaded the secure file to " + s.space.path(at))
	return nil
}

// secureFileName is the name of a secure file as it is kept; the server refuses one that the
// job may not have.
func (s *stepRun) secureFileName(ctx context.Context, want string) (string, error) {
	res, err := s.agent.client.send(ctx, http.MethodHead, "jobs/"+s.job.ID+"/secure-files/"+url.PathEscape(want), s.job.Lease, nil, nil)
	if err != nil {
		return "", fmt.Errorf("asking for the secure file %s: %w", want, err)
	}
	return keptName(res.Header), res.Body.Close()
}

// keptName is the name of a secure file in an answer; one that is no name of a file is "".
func keptName(h http.Header) string {
	name := h.Get("Towpath-Name")
	if name != filepath.Base(name) || name == "." || name == ".." || name == "/" {
		return ""
	}
	return name
}

// placeSecureFile brings a secure file into a folder of the workspace and returns its place there.
func (s *stepRun) placeSecureFile(ctx context.Context, want, folder string) (at string, err error) {
	res, err := s.agent.client.send(ctx, http.MethodGet, "jobs/"+s.job.ID+"/secure-files/"+url.PathEscape(want), s.job.Lease, nil, nil)
	if err != nil {
		return "", fmt.Errorf("downloading the secure file %s: %w", want, err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(io.LimitReader(res.Body, protocol.MaxSecureFile+1))
	if err != nil || len(content) > protocol.MaxSecureFile {
		return "", fmt.Errorf("downloading the secure file %s: %w", want, errors.Join(err, errors.New("it did not come to its end")))
	}
	name := keptName(res.Header)
	if name == "" {
		return "", fmt.Errorf("the server calls the secure file %q, which is no name", res.Header.Get("Towpath-Name"))
	}
	if err := s.space.mkdirAll(folder); err != nil {
		return "", fmt.Errorf("writing the secure file %s: %w", want, err)
	}
	at = filepath.Join(folder, name)
	if err := s.space.root.Remove(at); err == nil {
		s.print("##[debug]The file was there and is replaced.")
	}
	if err := s.space.write(at, content, 0o600); err != nil {
		return "", fmt.Errorf("writing the secure file %s: %w", want, err)
	}
	s.borrowed = append(s.borrowed, at)
	return at, nil
}

// giveBack removes the secure files and the docker logins of the job, before the server hears
// of its end.
func (r *jobRun) giveBack() {
	for _, at := range r.borrowed {
		if err := r.space.root.RemoveAll(at); err != nil {
			r.log.Error("removing a secret of the job", "error", err)
		}
	}
}
