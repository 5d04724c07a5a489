package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// helmOfFolder are the commands whose last word may be a chart in a folder or an archive.
var helmOfFolder = []string{"template", "lint", "package", "show", "push", "dependency"}

// runHelm is HelmDeploy@1. The chart goes to the server as chart/… or chart.tgz, value
// files as values/N.yaml in their order, and the words of arguments with the files that
// they name. A chart by its name is fetched by the server, with what the job added by
// helm repo add and helm registry login.
func runHelm(ctx context.Context, s *stepRun) error {
	base := s.space.path(dirSources)
	command := strings.ToLower(s.input("command"))
	inputs := map[string]string{}
	var files []entry
	chartPath := s.input("chartPath")
	if chartPath == "" && command == "push" {
		chartPath = s.input("chartPathForACR")
	}
	if named := s.input("chartName"); chartPath == "" && named != "" && !strings.EqualFold(s.input("chartType"), "FilePath") && s.there(base, named) {
		chartPath = named // as helm does: a folder goes before a repository
	}
	w, err := s.words(s.input("arguments"), base, helmFiles)
	if err != nil {
		return err
	}
	if chartPath == "" && (slices.Contains(helmOfFolder, command) || (command == "install" || command == "upgrade") && s.input("chartName") == "") {
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
	for input, name := range helmState {
		if inputs[input], err = s.helmFile(name); err != nil {
			return err
		}
	}
	if err := s.remote(ctx, inputs, files); err != nil {
		return err
	}
	return s.deliver(command, w.words, chartPath)
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
