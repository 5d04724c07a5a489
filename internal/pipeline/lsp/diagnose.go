package lsp

import (
	"context"
	"slices"
	"strings"

	"towpath.dev/towpath/internal/pipeline/compile"
	"towpath.dev/towpath/internal/pipeline/expand"
	"towpath.dev/towpath/internal/pipeline/parse"
	"towpath.dev/towpath/internal/pipeline/validate"
)

// diagnostic is a finding as the protocol has it.
type diagnostic struct {
	Range    span   `json:"range"`
	Severity int    `json:"severity"` // 1 error, 2 warning
	Code     string `json:"code,omitempty"`
	Source   string `json:"source"`
	Message  string `json:"message"`
}

// source is whose the diagnostics are.
const source = "towpath"

// diagnose compiles the pipelines of the workspace and returns the findings of the open
// documents, by path: those of a template come from the pipelines that use it. A template
// that no pipeline uses is only read.
func (s *Server) diagnose(ctx context.Context) map[string][]diagnostic {
	found := map[string][]diagnostic{}
	for file := range s.space.open {
		found[file] = []diagnostic{}
	}
	part := map[string]bool{} // of another pipeline
	alone := map[string]parse.Diagnostics{}
	for _, root := range s.space.pipelines() {
		result, diagnostics := compile.Full(ctx, root, s.space, compile.Options{
			Features: validate.AllFeatures(), Question: validate.Correct, Variables: s.variables, Tasks: s.lang.builtin, Limits: expand.Limits{},
		})
		alone[root] = diagnostics
		for _, file := range result.Files {
			if file != root {
				part[file] = true
			}
		}
		for _, d := range diagnostics {
			if d.Pos.File != root {
				part[d.Pos.File] = true
			}
		}
	}
	for root, diagnostics := range alone {
		if part[root] && !strings.HasPrefix(strings.ToLower(root), "azure-pipelines") {
			continue // A template: what its pipelines say counts.
		}
		if s.isTemplate(root) {
			diagnostics = s.onlyRead(root)
		}
		for _, d := range diagnostics {
			if list, open := found[d.Pos.File]; open {
				if one := s.convert(d); !slices.Contains(list, one) {
					found[d.Pos.File] = append(list, one)
				}
			}
		}
	}
	return found
}

// isTemplate reports whether an open document can be nothing but a template: it demands
// parameters, or has variables alone.
func (s *Server) isTemplate(file string) bool {
	root := outline(lines(s.space.open[file]))
	for _, key := range []string{"trigger", "pr", "extends", "schedules", "resources"} {
		if root.child(key) != nil {
			return false
		}
	}
	body := false
	for _, key := range []string{"steps", "jobs", "stages"} {
		body = body || root.child(key) != nil
	}
	if !body {
		return root.child("variables") != nil
	}
	if p := root.child("parameters"); p != nil {
		for _, c := range p.children {
			if !c.dash || c.child("default") == nil {
				return true
			}
		}
	}
	return false
}

// onlyRead is what is wrong with the YAML of a document.
func (s *Server) onlyRead(file string) parse.Diagnostics {
	_, found := parse.Parse(file, []byte(s.space.open[file]), parse.Limits{})
	return found
}

func (s *Server) convert(d parse.Diagnostic) diagnostic {
	severity := 2
	if d.Severity == parse.SeverityError {
		severity = 1
	}
	return diagnostic{
		Range: token(lines(s.space.open[d.Pos.File]), d.Pos.Line, d.Pos.Col), Severity: severity, Code: d.Rule, Source: source, Message: d.Message,
	}
}
