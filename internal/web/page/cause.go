package page

import (
	"regexp"
	"strings"

	"towpath.dev/towpath/internal/work"
	signals "towpath.dev/towpath/internal/work/insight"
)

// links are the links of an item; suspects are left to what is known of the cause, when
// that names them with their authors.
func (v ItemView) links() []work.Link {
	if v.Cause == nil || len(v.Cause.Suspects) == 0 {
		return v.Links
	}
	var out []work.Link
	for _, l := range v.Links {
		if l.Rel != "suspects" {
			out = append(out, l)
		}
	}
	return out
}

// releaseAt is the page of a release by its name, "shop/production/48".
func releaseAt(s Shell, release string) string {
	p := strings.Split(release, "/")
	if len(p) != 3 {
		return s.At("/environments")
	}
	return s.At("/environments/" + Esc(p[1]) + "/releases/" + Esc(p[2]))
}

// suspectHref is the page of a suspected commit, "" when its repository is not known.
func suspectHref(s Shell, c signals.Cause, k signals.Commit) string {
	_, repo, ok := strings.Cut(c.Repo, "/")
	if !ok {
		return ""
	}
	return s.At("/code/" + Esc(repo) + "/commit/" + Esc(k.Hash))
}

// impactWords says what follows the share of requests that fail.
func impactWords(i signals.Impact) string {
	words := "of " + Count(i.Requests) + " requests fail"
	if i.P95 > 0 {
		words += ", p95 " + milliseconds(i.P95)
	}
	return words
}

func authorWord(k signals.Commit) string {
	if k.User != "" {
		return k.User
	}
	return k.Author
}

func ownerWord(by string) string {
	if by == "" {
		return ""
	}
	return "by " + by
}

func suspectsWord(n int) string {
	if n == 1 {
		return "One commit lies between the two"
	}
	return Count(n) + " commits are suspected, the newest first"
}

// kqlStart is how a query of logs begins: the name of a table, then a line or a pipe.
var kqlStart = regexp.MustCompile(`^\s*[A-Z][A-Za-z0-9_]*\s*(\n|\||$)`)

// queryHref opens a query where it can be asked: KQL in the explorer of logs, PromQL in
// that of metrics.
func queryHref(s Shell, query string) string {
	if kqlStart.MatchString(query) || strings.HasPrefix(strings.TrimSpace(query), "let ") {
		return s.At("/monitor/logs" + Query("range", "604800", "q", query))
	}
	return s.At("/monitor/metrics" + Query("q", query))
}
