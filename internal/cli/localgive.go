package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/local"
	"towpath.dev/towpath/internal/pipeline/library"
)

// maxGiven bounds a file of a variable group or of a connection.
const maxGiven = 1 << 20

// give reads what the flags give a local run in the place of a server's library.
func (e *env) give(cfg *local.Config, here *localFlags) error {
	for _, s := range here.secrets {
		name, from, renamed := strings.Cut(s, "=")
		if !renamed {
			from = name
		}
		value := e.getenv(from)
		if value == "" {
			return fault.New(fault.Invalid, "The environment variable %s, which the secret %s is to come from, is not set.", from, name)
		}
		cfg.Secrets[name] = value
	}
	for _, g := range here.groups {
		name, file, err := nameAndFile("--group", g)
		if err != nil {
			return err
		}
		if cfg.Groups[name], err = groupFile(file); err != nil {
			return err
		}
	}
	for _, c := range here.connections {
		name, file, err := nameAndFile("--connection", c)
		if err != nil {
			return err
		}
		connection, err := connectionFile(name, file)
		if err != nil {
			return err
		}
		cfg.Connections = append(cfg.Connections, connection)
	}
	for _, f := range here.files {
		if !strings.Contains(f, "=") {
			f = filepath.Base(f) + "=" + f
		}
		name, path, err := nameAndFile("--secure-file", f)
		if err != nil {
			return err
		}
		if !exists(path) {
			return fault.New(fault.NotFound, "There is no file %s for the secure file %s.", path, name)
		}
		cfg.SecureFiles[name] = path
	}
	return nil
}

func nameAndFile(flag, given string) (name, file string, err error) {
	name, file, ok := strings.Cut(given, "=")
	if !ok || name == "" || file == "" {
		return "", "", fault.New(fault.Invalid, "%s %s has not the form NAME=FILE.", flag, given)
	}
	return name, file, nil
}

// readGiven reads a small file that a flag names.
func readGiven(file, what string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, "The file %s of %s cannot be read.", file, what)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxGiven+1))
	if err != nil || len(data) > maxGiven {
		return nil, fault.Wrap(fault.Invalid, err, "The file %s of %s cannot be read, or has more than %d bytes.", file, what, maxGiven)
	}
	return data, nil
}

// groupFile reads the variables of a group: lines NAME=VALUE, empty ones and those that
// begin with # have no meaning.
func groupFile(file string) (map[string]string, error) {
	data, err := readGiven(file, "a variable group")
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for number, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSuffix(line, "\r")
		if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, fault.New(fault.Invalid, "Line %d of %s has not the form NAME=VALUE.", number+1, file)
		}
		values[name] = value
	}
	return values, nil
}

// connectionFile reads a service connection. What stands below secrets is masked in the log.
func connectionFile(name, file string) (library.Connection, error) {
	c := library.Connection{Name: name}
	data, err := readGiven(file, "the connection "+name)
	if err != nil {
		return c, err
	}
	var body struct {
		Type        string            `yaml:"type"`
		URL         string            `yaml:"url"`
		Description string            `yaml:"description"`
		Parameters  map[string]string `yaml:"parameters"`
		Secrets     map[string]string `yaml:"secrets"`
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&body); err != nil {
		return c, fault.Wrap(fault.Invalid, err, "The file %s of the connection %s cannot be read: %s.", file, name, strings.ReplaceAll(strings.TrimPrefix(err.Error(), "yaml: "), "\n", " ")).
			WithNext("write type (generic, dockerregistry or kubernetes), url, and below parameters and secrets the names with their values")
	}
	c.Type, c.URL, c.Description = body.Type, body.URL, body.Description
	for n, v := range body.Parameters {
		c.Parameters = append(c.Parameters, library.Value{Name: n, Value: v})
	}
	for n, v := range body.Secrets {
		c.Parameters = append(c.Parameters, library.Value{Name: n, Value: v, Secret: true})
	}
	if c.Type == library.IncomingWebhook {
		return c, fault.New(fault.Invalid, "The connection %s takes calls from outside, and nobody calls a local run.", name)
	}
	return c, nil
}
