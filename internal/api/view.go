package api

import (
	"time"

	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
)

// Repo is a repository.
type Repo struct {
	Project       string    `json:"project"`
	Name          string    `json:"name"`
	DefaultBranch string    `json:"default_branch"`
	CloneURL      string    `json:"clone_url"`
	Created       time.Time `json:"created"`
}

func (a *server) repo(r source.Repo) Repo {
	return Repo{
		Project: r.Project, Name: r.Name, DefaultBranch: r.DefaultBranch, Created: r.Created,
		CloneURL: a.PublicURL + "/" + r.FullName() + ".git",
	}
}

// Ref is a branch or a tag.
type Ref struct {
	Name   string    `json:"name"`
	Commit string    `json:"commit"`
	Title  string    `json:"title"`
	Author string    `json:"author"`
	When   time.Time `json:"when"`
}

func refs(in []git.Ref) []Ref {
	out := make([]Ref, 0, len(in))
	for _, r := range in {
		out = append(out, Ref{Name: r.Name, Commit: r.Commit, Title: r.Title, Author: r.Author, When: r.When})
	}
	return out
}

// Commit is a commit.
type Commit struct {
	Hash     string    `json:"hash"`
	Parents  []string  `json:"parents"`
	Title    string    `json:"title"`
	Body     string    `json:"body,omitempty"`
	Author   string    `json:"author"`
	Email    string    `json:"email"`
	Authored time.Time `json:"authored"`
}

func commit(c git.Commit) Commit {
	return Commit{
		Hash: c.Hash, Parents: append([]string{}, c.Parents...), Title: c.Title, Body: c.Body,
		Author: c.Author.Name, Email: c.Author.Email, Authored: c.Author.When,
	}
}

// Commits is a page of commits.
type Commits struct {
	Commits []Commit `json:"commits"`
	More    bool     `json:"more"`
}

// Entry is a file or folder in a commit.
type Entry struct {
	Path string `json:"path"`
	Type string `json:"type" enum:"blob,tree,commit"`
	Mode string `json:"mode"`
	Hash string `json:"hash"`
	Size int64  `json:"size"`
}

func entry(e git.Entry) Entry {
	return Entry{Path: e.Path, Type: e.Type, Mode: e.Mode, Hash: e.Hash, Size: e.Size}
}

// File is a file's content in a commit.
type File struct {
	Entry
	Commit    string `json:"commit"`
	Content   []byte `json:"content" doc:"base64"`
	Truncated bool   `json:"truncated" doc:"only the beginning is given"`
	Binary    bool   `json:"binary"`
}

// Diff is the difference of two commits.
type Diff struct {
	Files     []FileDiff `json:"files"`
	Additions int        `json:"additions"`
	Deletions int        `json:"deletions"`
	Truncated bool       `json:"truncated"`
}

// FileDiff is the change of one file.
type FileDiff struct {
	Kind      string `json:"kind"`
	Old       string `json:"old"`
	New       string `json:"new"`
	Binary    bool   `json:"binary"`
	Additions int    `json:"additions"`
	Deletions int    `json:"deletions"`
	Truncated bool   `json:"truncated"`
	Hunks     []Hunk `json:"hunks"`
}

// Hunk is a run of changed lines with their surroundings.
type Hunk struct {
	Old     int        `json:"old" doc:"first line before"`
	New     int        `json:"new" doc:"first line after"`
	Section string     `json:"section,omitempty"`
	Lines   []DiffLine `json:"lines"`
}

// DiffLine is one line of a hunk.
type DiffLine struct {
	Kind string `json:"kind" enum:" ,+,-"`
	Old  int    `json:"old,omitempty"`
	New  int    `json:"new,omitempty"`
	Text string `json:"text"`
}

func diff(d git.Diff) Diff {
	out := Diff{Files: make([]FileDiff, 0, len(d.Files)), Additions: d.Additions, Deletions: d.Deletions, Truncated: d.Truncated}
	for _, f := range d.Files {
		file := FileDiff{
			Kind: f.Kind, Old: f.Old, New: f.New, Binary: f.Binary, Additions: f.Additions, Deletions: f.Deletions,
			Truncated: f.Truncated, Hunks: make([]Hunk, 0, len(f.Hunks)),
		}
		for _, h := range f.Hunks {
			hunk := Hunk{Old: h.OldStart, New: h.NewStart, Section: h.Section, Lines: make([]DiffLine, 0, len(h.Lines))}
			for _, l := range h.Lines {
				hunk.Lines = append(hunk.Lines, DiffLine{Kind: string(rune(l.Kind)), Old: l.Old, New: l.New, Text: l.Text})
			}
			file.Hunks = append(file.Hunks, hunk)
		}
		out.Files = append(out.Files, file)
	}
	return out
}
