package agent

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/plan"
)

// dockerConfig is the variable that names the folder of docker's own client, and
// dockerConfigFile its file there.
const (
	dockerConfig     = "DOCKER_CONFIG"
	dockerConfigFile = "config.json"
	maxDockerConfig  = 1 << 20
)

// errLogins says no more: the text of the file has secrets.
var errLogins = errors.New("the file of docker's logins cannot be read; log in with Docker@2 again")

// dockerFile is what docker's client keeps. Parts of it that mean nothing here stay as they
// are: steps may have changed them.
type dockerFile struct {
	auths map[string]map[string]any
	rest  map[string]json.RawMessage
}

// dockerFolder is the folder that DOCKER_CONFIG names, in the workspace: "" when it names none
// that is below the folder for temporary files, as the task wants it.
func (s *stepRun) dockerFolder() string {
	named, ok := s.vars.Lookup(dockerConfig)
	if !ok || named == "" {
		return ""
	}
	at, err := s.space.inside(s.space.path(dirTemp), named)
	if err != nil || !strings.HasPrefix(at, dirTemp+"/") {
		return ""
	}
	return at
}

// readDocker reads the logins of the job; there is nothing in it before the first.
func (s *stepRun) readDocker() (dockerFile, error) {
	d := dockerFile{auths: map[string]map[string]any{}, rest: map[string]json.RawMessage{}}
	folder := s.dockerFolder()
	if folder == "" {
		return d, nil
	}
	f, info, err := s.space.open(path.Join(folder, dockerConfigFile))
	if err != nil {
		// Removed, or made by somebody else: there are no logins then.
		return d, nil
	}
	defer f.Close()
	if info.Size() > maxDockerConfig {
		return d, errLogins
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxDockerConfig))
	if err != nil {
		return d, errors.Join(errLogins, err)
	}
	if json.Unmarshal(raw, &d.rest) != nil {
		return d, errLogins
	}
	if given := d.rest["auths"]; given != nil && json.Unmarshal(given, &d.auths) != nil {
		return d, errLogins
	}
	if d.auths == nil {
		d.auths = map[string]map[string]any{}
	}
	return d, nil
}

// writeDocker writes the logins for the steps that follow, for the user of the steps alone.
func (s *stepRun) writeDocker(d dockerFile) error {
	folder := s.dockerFolder()
	if folder == "" {
		folder = path.Join(dirTemp, fmt.Sprintf("DockerConfig_%d", s.step.Number))
	}
	raw, err := json.Marshal(d.auths)
	if err != nil {
		return err
	}
	d.rest["auths"] = raw
	if raw, err = json.Marshal(d.rest); err != nil {
		return err
	}
	if err := s.space.mkdirAll(folder); err != nil {
		return fmt.Errorf("writing the logins of docker: %w", err)
	}
	at := path.Join(folder, dockerConfigFile)
	_ = s.space.root.Remove(at)
	if err := s.space.write(at, raw, 0o600); err != nil {
		return fmt.Errorf("writing the logins of docker: %w", err)
	}
	if !slices.Contains(s.borrowed, folder) {
		s.borrowed = append(s.borrowed, folder)
	}
	s.vars.Set(plan.Value{Name: dockerConfig, Text: s.space.path(folder)})
	return nil
}

// forgetDocker removes the logins.
func (s *stepRun) forgetDocker() error {
	if folder := s.dockerFolder(); folder != "" {
		if err := s.space.root.RemoveAll(folder); err != nil {
			return fmt.Errorf("removing the logins of docker: %w", err)
		}
	}
	s.vars.Set(plan.Value{Name: dockerConfig})
	return nil
}

// dockerLogin keeps what opens a registry for the steps that follow.
func (s *stepRun) dockerLogin(ctx context.Context) error {
	var given map[string]struct {
		Auth string `json:"auth"`
	}
	s.take = func(_ string, data []byte) error { return json.Unmarshal(data, &given) }
	if err := s.remote(ctx, nil, nil); err != nil {
		return err
	}
	d, err := s.readDocker()
	if err != nil {
		return err
	}
	for server, a := range given {
		s.masker.Add(a.Auth)
		if raw, err := base64.StdEncoding.DecodeString(a.Auth); err == nil {
			_, secret, _ := strings.Cut(string(raw), ":")
			s.masker.Add(secret)
		}
		// The task sets it, too, so that the log hides it.
		s.vars.Set(plan.Value{Name: "CONTAINER_AUTHENTICATIONTOKEN", Text: a.Auth, Secret: true})
		d.auths[server] = map[string]any{"auth": a.Auth}
	}
	return s.writeDocker(d)
}

// dockerLogout forgets one registry, or all of them.
func (s *stepRun) dockerLogout(ctx context.Context) error {
	var server string
	s.take = func(_ string, data []byte) error { server = string(data); return nil }
	if err := s.remote(ctx, nil, nil); err != nil {
		return err
	}
	d, err := s.readDocker()
	if server == "" || err != nil {
		return s.forgetDocker()
	}
	if _, has := d.auths[server]; !has {
		s.print("There is no login at " + server + ": nothing to do.")
		return nil
	}
	if delete(d.auths, server); len(d.auths) == 0 {
		return s.forgetDocker()
	}
	return s.writeDocker(d)
}

// dockerAuths are the logins of the job for the server, which pushes: those of Docker@2, and
// those that scripts have made with docker's client in the same file.
func (s *stepRun) dockerAuths() (string, error) {
	d, err := s.readDocker()
	if err != nil || len(d.auths) == 0 {
		return "", err
	}
	type login struct {
		Server string `json:"server"`
		Auth   string `json:"auth"`
	}
	var out []login
	for _, server := range slices.Sorted(maps.Keys(d.auths)) {
		if auth, ok := d.auths[server]["auth"].(string); ok {
			out = append(out, login{server, auth})
		}
	}
	return jsonOf(out), nil
}
