package checker

// AwaitAcked is what a careful proxy does before it hands a reset on.
var AwaitAcked = awaitAcked
