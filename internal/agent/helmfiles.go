package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// helmState are the files in which Helm keeps what a job added and where it signed in, by the
// input that carries each to the server. They lie where a helm program that a script of the job
// runs has them, so that both see the same.
var helmState = map[string]string{
	"repositories": path.Join(dirHome, ".config/helm/repositories.yaml"),
	"logins":       path.Join(dirHome, ".config/helm/registry/config.json"),
}

// maxHelmFile bounds such a file, in bytes.
const maxHelmFile = 256 << 10

// helmFile reads such a file; it is "" when there is none.
func (s *stepRun) helmFile(name string) (string, error) {
	f, info, err := s.space.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path.Base(name), err)
	}
	defer f.Close()
	if info.Size() > maxHelmFile {
		return "", fmt.Errorf("%s is larger than %d KiB", path.Base(name), maxHelmFile>>10)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxHelmFile))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path.Base(name), err)
	}
	return string(text), nil
}

// deliver puts what a command made to where helm puts it.
func (s *stepRun) deliver(command string, words []string, chart string) error {
	if s.made == "" {
		return nil
	}
	base := s.space.path(dirSources)
	switch command {
	case "package":
		return s.deliverArchive(base, s.input("destination"))
	case "pull":
		return s.deliverArchive(base, destinationOf(words))
	case "create":
		return s.deliverFiles(base, ".")
	case "dependency":
		return s.deliverFiles(base, chart)
	case "repo":
		return s.moveMade(helmState["repositories"], 0o600)
	case "registry":
		return s.moveMade(helmState["logins"], 0o600)
	}
	return nil
}

// destinationOf is the folder that the words of helm pull name, else the present one.
func destinationOf(words []string) string {
	for i, w := range words {
		name, value, glued := strings.Cut(w, "=")
		switch {
		case name != "-d" && name != "--destination":
		case glued:
			return value
		case i+1 < len(words):
			return words[i+1]
		}
	}
	return "."
}

// deliverArchive moves the archive of a chart to a folder.
func (s *stepRun) deliverArchive(base, folder string) error {
	to, err := s.space.inside(base, folder)
	if err != nil {
		return err
	}
	at := path.Join(to, path.Base(s.made))
	if err := s.moveMade(at, 0o644); err != nil {
		return err
	}
	s.print("The archive of the chart is in " + s.space.path(at))
	return nil
}

// moveMade moves the file that the server made.
func (s *stepRun) moveMade(to string, mode fs.FileMode) error {
	f, _, err := s.space.open(s.made)
	if err != nil {
		return fmt.Errorf("reading what the task made: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("reading what the task made: %w", err)
	}
	if err := errors.Join(s.space.root.RemoveAll(to), s.space.root.Remove(s.made)); err != nil {
		return fmt.Errorf("replacing %s: %w", to, err)
	}
	if err := errors.Join(s.space.mkdirAll(path.Dir(to)), s.space.write(to, content, mode)); err != nil {
		return fmt.Errorf("writing %s: %w", to, err)
	}
	return nil
}

// deliverFiles unpacks the files that the server made into a folder.
func (s *stepRun) deliverFiles(base, folder string) error {
	to, err := s.space.inside(base, folder)
	if err != nil {
		return err
	}
	f, _, err := s.space.open(s.made)
	if err != nil {
		return fmt.Errorf("reading what the task made: %w", err)
	}
	defer f.Close()
	_, err = s.space.unpack(f, to, nil)
	return err
}
