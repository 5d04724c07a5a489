package registry

// Parse is the parser of manifests, for the fuzz test. It returns every digest that the
// tables would hold.
func Parse(mediaType string, body []byte) (digests []string, err error) {
	c, err := parse(mediaType, body)
	for _, d := range append(c.blobs, c.manifests...) {
		digests = append(digests, d.Digest)
	}
	for _, d := range []string{c.subject, c.config} {
		if d != "" {
			digests = append(digests, d)
		}
	}
	return digests, err
}
