package oracle

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/monitor/table"
)

// Package is the npm package of the service's own parser and binder, pinned.
const Package = "@kusto/language-service-next@12.4.1"

//go:embed testdata/oracle.js
var script []byte

// Question is a text with the tables that it may use; nil means those of the last question.
type Question struct {
	Name   string   `json:"name"`
	Query  string   `json:"query"`
	Tables []Schema `json:"tables"`
}

// Schema is a table's name and columns, each a name and a type.
type Schema struct {
	Name    string      `json:"name"`
	Columns [][2]string `json:"columns"`
}

// Schemas turns tables into schemas.
func Schemas(tables []*table.Table) []Schema {
	out := []Schema{}
	for _, t := range tables {
		s := Schema{Name: t.Name}
		for _, c := range t.Columns {
			s.Columns = append(s.Columns, [2]string{c.Name, c.Kind.String()})
		}
		out = append(out, s)
	}
	return out
}

// Answer is what the service's own code says of a text. Syntax are the parser's complaints,
// Errors those of parser and binder, each "offset: message". Schema is the result's.
// Open is true when there may be more columns than those.
type Answer struct {
	Name   string      `json:"name"`
	Syntax []string    `json:"syntax"`
	Errors []string    `json:"errors"`
	Schema [][2]string `json:"schema"`
	Open   bool        `json:"open"`
	Crash  string      `json:"crash"`
}

// Available reports whether node and npm are here, and says what is missing.
func Available() (missing string) {
	for _, name := range []string{"node", "npm"} {
		if _, err := exec.LookPath(name); err != nil {
			return name
		}
	}
	return ""
}

// Consult puts the questions to the service's own code. The package is installed into the
// cache the first time. Answers are kept there too: they follow from the questions, the
// script and the version of the package alone, by whose digest they are found.
func Consult(questions []Question) ([]Answer, error) {
	dir, err := install()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "oracle.js")
	if err := os.WriteFile(file, script, 0o644); err != nil {
		return nil, fmt.Errorf("writing the oracle's script: %w", err)
	}
	var in, out, complaints bytes.Buffer
	enc := json.NewEncoder(&in)
	for _, q := range questions {
		if err := enc.Encode(q); err != nil {
			return nil, fmt.Errorf("writing the question %s: %w", q.Name, err)
		}
	}
	kept := filepath.Join(dir, fmt.Sprintf("answers-%x.jsonl", sha256.Sum256(slices.Concat([]byte(Package), script, in.Bytes()))))
	if data, err := os.ReadFile(kept); err == nil {
		if answers, err := answersOf(data); err == nil && len(answers) == len(questions) {
			return answers, nil
		}
	}
	cmd := exec.Command("node", file, dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &complaints
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running the oracle: %w: %s", err, complaints.String())
	}
	answers, err := answersOf(out.Bytes())
	if err != nil {
		return nil, err
	}
	if len(answers) != len(questions) {
		return nil, fmt.Errorf("the oracle gave %d answers to %d questions: %s", len(answers), len(questions), complaints.String())
	}
	if err := os.WriteFile(kept, out.Bytes(), 0o644); err != nil {
		return nil, fmt.Errorf("keeping the oracle's answers: %w", err)
	}
	return answers, nil
}

// answersOf reads the lines that the script writes.
func answersOf(data []byte) ([]Answer, error) {
	var answers []Answer
	for _, line := range strings.Split(string(data), "\n") {
		if !strings.HasPrefix(line, "{") {
			continue
		}
		var a Answer
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			return nil, fmt.Errorf("reading the oracle's answer: %w", err)
		}
		answers = append(answers, a)
	}
	return answers, nil
}

// install brings the npm package into the cache and returns the folder.
func install() (string, error) {
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "npm")
	if _, err := os.Stat(filepath.Join(dir, "node_modules/@kusto/language-service-next/Kusto.Language.Bridge.min.js")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	cmd := exec.Command("npm", "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--prefix", dir, Package)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("installing %s: %w: %s", Package, err, out)
	}
	return dir, nil
}
