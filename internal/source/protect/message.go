package protect

import (
	"fmt"
	"strings"

	"towpath.dev/towpath/internal/event"
	"towpath.dev/towpath/internal/source"
)

// maxShown is how many secrets the pusher is told of at a time.
const maxShown = 5

// about says what was found and where, and how to let it pass.
func (s *Service) about(p source.Push, l leak) string {
	where := "object " + l.blob[:10] + ", which no commit of the push holds"
	if l.commit != "" {
		where = fmt.Sprintf("commit %s, %s:%d", l.commit[:10], clean(l.path), l.line)
	}
	return fmt.Sprintf("  secret %s in %s\n    %s\n    found: %s\n    to let it pass: towpath secret bypass %s --reason test-value\n    or %s",
		l.rule, where, l.title, l.redacted, l.id, s.page(p, l.id))
}

// page is the address of a finding.
func (s *Service) page(p source.Push, id string) string {
	return fmt.Sprintf("%s/projects/%s/code/%s/secrets/%s", strings.TrimSuffix(s.opts.PublicURL, "/"), p.Repo.Project, p.Repo.Name, id)
}

// goOn says what the pusher does next: which commits to change, and with what.
func (s *Service) goOn(p source.Push, leaks []leak) string {
	var b strings.Builder
	if n := len(leaks) - maxShown; n > 0 {
		fmt.Fprintf(&b, "\n  and %d more; they are named when these are gone", n)
	}
	tips := map[string]bool{}
	for _, m := range p.Moves {
		tips[m.New] = true
	}
	last, earlier, oldest := false, false, ""
	for _, l := range leaks {
		switch {
		case l.commit == "":
		case tips[l.commit]:
			last = true
		default:
			if earlier = true; oldest == "" {
				oldest = l.commit
			}
		}
	}
	b.WriteString("\n  How to go on:\n")
	if last {
		b.WriteString("    In the last commit: take the secret out of the file, then  git commit --all --amend  and push again.\n")
	}
	if earlier {
		fmt.Fprintf(&b, "    In an earlier commit:  git rebase --interactive %s^  (--root instead, if it is the first commit), mark the\n"+
			"    commit with \"edit\", take the secret out,  git commit --all --amend,  git rebase --continue,  and push again.\n", oldest[:10])
	}
	b.WriteString("    A real secret has left your hands: revoke it where it was issued, and use a new one.\n" +
		"    Reasons for a bypass: test-value, false-positive, fix-later. It is audited, and ends by itself.")
	return b.String()
}

// unscanned is the refusal of a push that could not be judged.
func (s *Service) unscanned(late bool) source.Refusal {
	r := source.Refusal{
		Refusal: event.Refusal{Guard: Guard, Rule: RuleFailed},
		Text: "  The push could not be scanned for secrets, so it was refused.\n" +
			"  Push again in a moment; if it happens again, the server's log says why.",
	}
	if late {
		r.Rule = RuleTimeout
		r.Text = fmt.Sprintf("  The push could not be scanned for secrets within %s, so it was refused.\n"+
			"  Push again when the server is less busy, or push fewer commits at a time:  git push origin COMMIT:BRANCH", s.opts.Limit)
	}
	return r
}

// clean makes a path fit for a terminal and a line of text.
func clean(path string) string {
	path = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(path, "?"))
	if len(path) > 300 {
		path = strings.ToValidUTF8(path[:300], "") + "…"
	}
	return path
}
