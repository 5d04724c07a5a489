package page

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
