package tail

import (
	"bytes"
	"time"

	"towpath.dev/towpath/internal/monitor/table"
)

// output tells the two outputs of a container apart.
type output uint8

const (
	stdout output = iota
	stderr
	outputs // how many there are
)

// String returns the value of column LogSource.
func (o output) String() string {
	if o == stderr {
		return "stderr"
	}
	return "stdout"
}

// line is one line of a log file in the CRI format:
//
//	2016-10-06T00:17:09.669794202Z stdout P the beginning of a long line
//	2016-10-06T00:17:09.669794203Z stdout F and its end
//
// (kubernetes/design-proposals-archive, node/kubelet-cri-logging.md).
type line struct {
	ticks   int64
	out     output
	partial bool
	text    []byte // shares memory with what was parsed
}

// parseLine reads a line without its newline. Further tags after P or F, divided by
// colons, are passed over, as the format wants.
func parseLine(raw []byte) (line, bool) {
	var l line
	i := bytes.IndexByte(raw, ' ')
	if i < 0 {
		return l, false
	}
	var ok bool
	if l.ticks, ok = parseTime(raw[:i]); !ok {
		return l, false
	}
	raw = raw[i+1:]
	switch {
	case bytes.HasPrefix(raw, []byte("stdout ")):
	case bytes.HasPrefix(raw, []byte("stderr ")):
		l.out = stderr
	default:
		return l, false
	}
	raw = raw[len("stdout "):]
	tags := raw
	if i = bytes.IndexByte(raw, ' '); i >= 0 {
		tags, l.text = raw[:i], raw[i+1:]
	}
	if len(tags) == 0 || (len(tags) > 1 && tags[1] != ':') || (tags[0] != 'P' && tags[0] != 'F') {
		return l, false
	}
	l.partial = tags[0] == 'P'
	return l, true
}

// parseTime reads an RFC 3339 time into ticks. It is by hand because it is done for every
// line; what is finer than a tick is cut off.
func parseTime(b []byte) (int64, bool) {
	if len(b) < len("2006-01-02T15:04:05Z") || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' {
		return 0, false
	}
	year, month, day := digits(b[0:4]), digits(b[5:7]), digits(b[8:10])
	hour, minute, second := digits(b[11:13]), digits(b[14:16]), digits(b[17:19])
	if year < 1 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60 {
		return 0, false
	}
	b = b[19:]
	fraction, unit := int64(0), int64(table.TicksPerSecond)
	if b[0] == '.' {
		n := 1
		for ; n < len(b) && b[n] >= '0' && b[n] <= '9'; n++ {
			unit /= 10
			fraction += int64(b[n]-'0') * unit
		}
		if n == 1 || n == len(b) || n > 10 {
			return 0, false
		}
		b = b[n:]
	}
	offset, ok := parseOffset(b)
	if !ok {
		return 0, false
	}
	at := time.Date(year, time.Month(month), day, hour, minute, second-offset, 0, time.UTC)
	return table.TicksOf(at) + fraction, true
}

// parseOffset reads "Z", "+02:00" or "-07:00" into seconds.
func parseOffset(b []byte) (int, bool) {
	if len(b) == 1 && b[0] == 'Z' {
		return 0, true
	}
	if len(b) != 6 || b[3] != ':' || (b[0] != '+' && b[0] != '-') {
		return 0, false
	}
	hours, minutes := digits(b[1:3]), digits(b[4:6])
	if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 {
		return 0, false
	}
	seconds := hours*3600 + minutes*60
	if b[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// digits reads a decimal number, -1 when there is another character.
func digits(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return n
}
