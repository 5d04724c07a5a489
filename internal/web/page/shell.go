package page

import "slices"

// charts reports whether a script of the page draws charts.
func (s Shell) charts() bool { return slices.Contains(s.Scripts, "monitor.js") }

func (s Shell) windowTitle() string {
	t := s.Title
	if s.Project != "" {
		t += " · " + s.Project
	}
	if t == "" {
		return "Towpath"
	}
	return t + " · Towpath"
}

func currentPage(last bool) string {
	if last {
		return "page"
	}
	return "false"
}
