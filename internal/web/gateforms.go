package web

import (
	"net/url"
	"strconv"
	"strings"

	"towpath.dev/towpath/internal/fault"
	"towpath.dev/towpath/internal/pipeline/check"
)

// fields reads a form; the first number that is none is what it says at the end.
type fields struct {
	url.Values
	err error
}

func (f *fields) text(name string) string { return strings.TrimSpace(f.Get(name)) }
func (f *fields) on(name string) bool     { return f.Get(name) != "" }

// number is a whole number, 0 for an empty field.
func (f *fields) number(name, what string) int {
	text := f.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil && f.err == nil {
		f.err = fault.New(fault.Invalid, "%s is a whole number, not %.40q.", what, text)
	}
	return n
}

// lines are the lines of a field that are not empty.
func (f *fields) lines(name string) []string {
	var out []string
	for line := range strings.SplitSeq(f.Get(name), "\n") {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// definitionOf reads the form of a check; whether the check can be meant, its service says.
func definitionOf(form url.Values) (check.Definition, error) {
	f := &fields{Values: form}
	d := check.Definition{Type: check.Type(f.text("type")), Title: f.text("title"), TimeoutMinutes: f.number("timeout", "The time-out in minutes")}
	switch d.Type {
	case check.Approval:
		d.Approval = &check.ApprovalRule{
			Approvers: approvers(f.Get("approvers")), Minimum: f.number("minimum", "How many must approve"), InSequence: f.on("sequence"), RequesterCannotApprove: f.on("notrequester"),
			Instructions: f.text("instructions"), Moment: f.text("moment"),
		}
	case check.BranchControl:
		d.Branches = &check.BranchRule{Allowed: branches(f.lines("allowed")), Protected: f.on("protected"), AllowUnknown: f.on("unknown")}
	case check.RequiredTemplate:
		d.Template = &check.TemplateRule{}
		for _, line := range f.lines("templates") {
			words := strings.Fields(line)
			if len(words) != 3 {
				return d, fault.New(fault.Invalid, "%.80q is no template.", line).WithNext("write the repository, the ref and the path: shop/templates refs/heads/main base.yml")
			}
			d.Template.Templates = append(d.Template.Templates, check.Template{Repo: words[0], Ref: words[1], Path: words[2]})
		}
	case check.EvaluateArtifact:
		d.Artifact = &check.ArtifactRule{Signed: f.on("signed"), Scanned: f.on("scanned"), Provenance: f.on("provenance"), NoCritical: f.on("nocritical"), Expression: f.text("expression")}
	case check.BusinessHours:
		d.Hours = &check.HoursRule{Days: f.Values["day"], Start: f.text("start"), End: f.text("end"), Zone: f.text("zone")}
	case check.REST:
		d.REST = &check.RESTRule{URL: f.text("url"), Method: f.text("method"), Body: f.Get("body"), Success: f.text("success"), Connection: f.text("connection"), RetryMinutes: f.number("retry", "The pause in minutes"), Headers: map[string]string{}}
		for _, line := range f.lines("headers") {
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return d, fault.New(fault.Invalid, "A header of the request has no colon.").WithNext("write NAME: VALUE, one a line")
			}
			d.REST.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	case check.Alerts:
		d.Alerts = &check.AlertRule{Severity: f.text("severity"), Environment: f.text("environment"), RetryMinutes: f.number("retry", "The pause in minutes")}
	}
	return d, f.err
}

// approvers reads names, one a word; a name alone is a user.
func approvers(text string) []string {
	var out []string
	for _, who := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,;\r\n\t", r) }) {
		if !strings.Contains(who, ":") {
			who = "user:" + who
		}
		out = append(out, who)
	}
	return out
}

// branches makes full refs of the short names of branches.
func branches(list []string) []string {
	for i, b := range list {
		if b != "*" && !strings.HasPrefix(b, "refs/") {
			list[i] = "refs/heads/" + b
		}
	}
	return list
}
