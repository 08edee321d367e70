package main

// Main is the command, for scripts to run.
var Main = main
