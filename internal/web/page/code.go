package page

import (
	"html"
	"path"
	"strconv"
	"strings"

	"github.com/a-h/templ"
	"github.com/alecthomas/chroma/v2"
	"github.com/alecthomas/chroma/v2/lexers"

	"towpath.dev/towpath/internal/source"
	"towpath.dev/towpath/internal/source/git"
)

// maxColoured is the largest file in bytes that gets syntax colours; finding tokens in
// more would cost more than the colours are worth.
const maxColoured = 256 << 10

// CodeLines draws a file with a numbered, linkable line each and syntax colours when the
// name tells the language. prefix begins the ids of the lines.
func CodeLines(name, text, prefix string) templ.Component {
	var b strings.Builder
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range coloured(name, text) {
		n := strconv.Itoa(i + 1)
		b.WriteString(`<div class="ln" id="` + prefix + n + `"><a href="#` + prefix + n + `" aria-label="Line ` + n + `">` + n + `</a><span>` + line + "</span></div>")
	}
	return templ.Raw(b.String())
}

// coloured returns the lines of text as escaped HTML.
func coloured(name, text string) []string {
	lexer := lexers.Match(path.Base(name))
	if lexer == nil || len(text) > maxColoured {
		return escapedLines(text)
	}
	tokens, err := chroma.Tokenise(chroma.Coalesce(lexer), &chroma.TokeniseOptions{State: "root", EnsureLF: false}, text)
	if err != nil {
		return escapedLines(text)
	}
	var lines []string
	for _, line := range chroma.SplitTokensIntoLines(tokens) {
		var b strings.Builder
		for _, t := range line {
			value := html.EscapeString(strings.TrimSuffix(t.Value, "\n"))
			if c := tokenClass(t.Type); c != "" && value != "" {
				value = `<span class="` + c + `">` + value + `</span>`
			}
			b.WriteString(value)
		}
		lines = append(lines, b.String())
	}
	return lines
}

func escapedLines(text string) []string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = html.EscapeString(lines[i])
	}
	return lines
}

// tokenClass reduces the many kinds of tokens to the six that have a colour.
func tokenClass(t chroma.TokenType) string {
	switch {
	case t == chroma.KeywordType:
		return "kt"
	case t == chroma.NameFunction || t == chroma.NameTag || t == chroma.NameAttribute || t == chroma.NameClass:
		return "nf"
	case t.InCategory(chroma.Keyword):
		return "k"
	case t.InCategory(chroma.Comment):
		return "c"
	case t.InSubCategory(chroma.LiteralString):
		return "s"
	case t.InCategory(chroma.Literal):
		return "m"
	}
	return ""
}

// RepoName is the part of "project/repo" after the slash.
func RepoName(full string) string {
	_, name, ok := strings.Cut(full, "/")
	if !ok {
		return full
	}
	return name
}

// RepoItem is a repository in the list with its newest commit.
type RepoItem struct {
	source.Repo
	Last *git.Commit // nil while it is empty
}

// RepoView is what the pages below one repository share.
type RepoView struct {
	Repo     source.Repo
	Rev      string // as the address names it: a branch, a tag or a hash
	Path     string
	Tab      string // "files", "commits", "branches", "secrets", "settings"
	CloneURL string
	SSHURL   string // "" when Git is not served over SSH
	Branches []git.Ref
	Empty    bool
	CanEdit  bool // Rev is a branch and the visitor may write
	// Protected are the rulesets that hold for branches, by name.
	Protected map[string][]string
}

// Here is a path of the repository's pages.
func (v RepoView) here(s Shell, rest string) string {
	return s.At("/code/" + Esc(v.Repo.Name) + rest)
}

func (v RepoView) file(s Shell, kind, p string) string {
	h := v.here(s, "/"+kind+"/"+Esc(v.Rev))
	if p != "" {
		h += "/" + EscPath(p)
	}
	return h
}

// parts are the folders above and including the path.
func (v RepoView) parts() []Crumb {
	var out []Crumb
	if v.Path == "" {
		return nil
	}
	at := ""
	for part := range strings.SplitSeq(v.Path, "/") {
		at = path.Join(at, part)
		out = append(out, Crumb{Text: part, Href: at})
	}
	return out
}

// Listing is a folder.
type Listing struct {
	RepoView
	Entries []git.Entry
	Last    *git.Commit
	Readme  string
	ReadMe  string // its name
}

// FileView is a file.
type FileView struct {
	RepoView
	Blob source.Blob
}

// History is a page of commits.
type History struct {
	RepoView
	Commits      []git.Commit
	Newer, Older string
}

// CommitView is one commit with its difference.
type CommitView struct {
	RepoView
	Commit git.Commit
	Diff   git.Diff
	Files  []DiffFile
	Runs   []Run
}

func entryIcon(e git.Entry) string {
	switch {
	case e.Type == "tree":
		return "folder"
	case e.Mode == "120000", e.Type == "commit":
		return "link"
	}
	return "file"
}

func (v RepoView) entryHref(s Shell, e git.Entry) string {
	if e.Type == "tree" {
		return v.file(s, "tree", e.Path)
	}
	return v.file(s, "blob", e.Path)
}

func diffClass(kind byte) string {
	switch kind {
	case git.Plus:
		return "plus"
	case git.Minus:
		return "minus"
	}
	return ""
}

func lineNo(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// up is the folder above p, "" for the root.
func up(p string) string {
	if d := path.Dir(p); d != "." {
		return d
	}
	return ""
}

// origin is where this installation is, as the browser sees it; the handler fills it.
func (s Shell) origin() string { return s.PublicURL }
