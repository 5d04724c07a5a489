package lsp

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The limits of a message: its content, and each line before it.
const (
	maxMessage = 16 << 20
	maxHeader  = 4 << 10
)

// message is a request, a notification (no ID) or a response (no Method).
type message struct {
	JSONRPC string           `json:"jsonrpc"`
	ID      *json.RawMessage `json:"id,omitempty"`
	Method  string           `json:"method,omitempty"`
	Params  json.RawMessage  `json:"params,omitempty"`
	Result  any              `json:"result,omitempty"`
	Error   *rpcError        `json:"error,omitempty"`
}

// rpcError is the error of a response.
type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// Codes of errors (JSON-RPC 2.0, LSP 3.17).
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeNoMethod       = -32601
	codeInvalidParams  = -32602
	codeNotInitialized = -32002
)

// errBroken says that the bytes that come are no messages; nothing more can be read.
var errBroken = errors.New("the message has no valid header")

// readMessage reads the content of one message. io.EOF comes between messages only.
func readMessage(r *bufio.Reader) ([]byte, error) {
	length := -1
	for first := true; ; first = false {
		line, err := readHeader(r)
		if err != nil {
			if errors.Is(err, io.EOF) && (!first || line != "") {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, errBroken
		}
		if strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil || length < 0 {
				return nil, errBroken
			}
		}
	}
	if length < 0 {
		return nil, errBroken
	}
	if length > maxMessage {
		return nil, fmt.Errorf("a message has %d bytes; at most %d are read", length, maxMessage)
	}
	// Memory is taken as the bytes come, not as the header says.
	content, err := io.ReadAll(io.LimitReader(r, int64(length)))
	if err != nil || len(content) < length {
		return nil, io.ErrUnexpectedEOF
	}
	return content, nil
}

// readHeader reads one line of the header without its end.
func readHeader(r *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxHeader {
			return "", errBroken
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return string(line), err
		}
		return strings.TrimRight(string(line), "\r\n"), nil
	}
}

// writeMessage writes one message.
func writeMessage(w io.Writer, m message) error {
	m.JSONRPC = "2.0"
	content, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding an answer: %w", err)
	}
	_, err = fmt.Fprintf(w, "Content-Length: %d\r\n\r\n%s", len(content), content)
	return err
}
