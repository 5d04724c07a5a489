package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// runHelm is HelmDeploy@1. The chart goes to the server as chart/… or chart.tgz, value
// files as values/N.yaml in their order, and the words of arguments with the files that
// they name.
func runHelm(ctx context.Context, s *stepRun) error {
	base := s.space.path(dirSources)
	command := strings.ToLower(s.input("command"))
	inputs := map[string]string{}
	var files []entry
	chartPath := s.input("chartPath")
	if named := s.input("chartName"); chartPath == "" && named != "" && !strings.EqualFold(s.input("chartType"), "FilePath") && s.there(base, named) {
		chartPath = named // as helm does: a folder goes before a repository
	}
	w, err := s.words(s.input("arguments"), base, helmFiles)
	if err != nil {
		return err
	}
	if chartPath == "" && (command == "template" || command == "lint" || command == "package") {
		chartPath = w.takePath(s, base)
	}
	if chartPath != "" {
		entries, name, err := s.chart(base, chartPath)
		if err != nil {
			return err
		}
		files, inputs["chartPath"] = entries, name
	}
	more, names, err := s.valueFiles(base, list(s.input("valueFile")))
	if err != nil {
		return err
	}
	files = append(append(files, more...), w.files...)
	inputs["valueFile"], inputs["words"] = strings.Join(names, ","), w.json()
	if err := s.remote(ctx, inputs, files); err != nil || command != "package" {
		return err
	}
	return s.deliver()
}

// deliver copies the archive that the command package made to the folder destination.
func (s *stepRun) deliver() error {
	to, err := s.space.inside(s.space.path(dirSources), s.input("destination"))
	if err != nil {
		return err
	}
	f, _, err := s.space.open(s.made)
	if err != nil {
		return fmt.Errorf("reading the archive of the chart: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("reading the archive of the chart: %w", err)
	}
	at := path.Join(to, path.Base(s.made))
	if err := s.space.root.RemoveAll(at); err != nil {
		return fmt.Errorf("replacing %s: %w", at, err)
	}
	if err := errors.Join(s.space.mkdirAll(to), s.space.write(at, content, 0o644)); err != nil {
		return fmt.Errorf("writing %s: %w", at, err)
	}
	s.print("Successfully packaged chart and saved it to: " + s.space.path(at))
	return nil
}

// chart lists the files of a chart, and its name in the tar: "chart" or "chart.tgz".
func (s *stepRun) chart(base, chart string) ([]entry, string, error) {
	if chart == "" {
		return nil, "", errors.New("the step names no chart")
	}
	rel, err := s.space.inside(base, chart)
	if err != nil {
		return nil, "", err
	}
	entries, err := s.space.tree(rel, nil)
	if err != nil {
		return nil, "", fmt.Errorf("reading the chart %s: %w", chart, err)
	}
	if len(entries) == 1 && entries[0].path == rel {
		entries[0].name = "chart.tgz"
		return entries, "chart.tgz", nil
	}
	for i := range entries {
		entries[i].name = "chart/" + entries[i].name
	}
	return entries, "chart", nil
}

// valueFiles gives files their names in the tar, in their order.
func (s *stepRun) valueFiles(base string, given []string) (files []entry, names []string, err error) {
	for i, v := range given {
		rel, err := s.space.inside(base, v)
		if err != nil {
			return nil, nil, err
		}
		names = append(names, fmt.Sprintf("values/%d.yaml", i))
		files = append(files, entry{name: names[i], path: rel})
	}
	return files, names, nil
}

// there reports whether a path of the sources is something.
func (s *stepRun) there(base, name string) bool {
	rel, err := s.space.inside(base, name)
	if err != nil {
		return false
	}
	_, err = s.space.root.Stat(rel)
	return err == nil
}

// lines splits an input at its lines.
func lines(text string) []string {
	var out []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}
