package event

// The payloads of events about users, tokens and projects.

import "time"

// UserCreated is the payload of TypeUserCreated; the subject is the user.
type UserCreated struct {
	V     int    `json:"v"`
	Name  string `json:"name"`
	Admin bool   `json:"admin"`
}

// Token is the payload of TypeTokenCreated and TypeTokenRevoked; the subject is
// the user whose token it is. It never holds the token itself.
type Token struct {
	V       int       `json:"v"`
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Scopes  []string  `json:"scopes"`
	Expires time.Time `json:"expires,omitzero"`
}

// RoleGranted is the payload of TypeRoleGranted; the subject is the project.
type RoleGranted struct {
	V    int    `json:"v"`
	User string `json:"user"`
	Role string `json:"role"` // none, read, write, maintain, admin
}

// LoginFailed is the payload of TypeLoginFailed; the subject is the user named.
type LoginFailed struct {
	V      int    `json:"v"`
	Method string `json:"method"` // password, token
	Remote string `json:"remote"` // address of the client
}

// Created is the payload of TypeProjectCreated, TypeRepoCreated and
// TypeEnvironmentMade; the subject is the thing made.
type Created struct {
	V    int    `json:"v"`
	Name string `json:"name"`
}

// Key is the payload of TypeKeyAdded and TypeKeyRemoved; the subject is the user, or of a
// deploy key the repository.
type Key struct {
	V           int    `json:"v"`
	ID          string `json:"id"`
	Title       string `json:"title"`
	Fingerprint string `json:"fingerprint"`     // "SHA256:…"
	Repo        string `json:"repo,omitempty"`  // of a deploy key
	Write       bool   `json:"write,omitempty"` // of a deploy key
}
