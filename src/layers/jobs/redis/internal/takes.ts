/**
 * How many jobs are taken at a time, until there are as many as were asked for: BullMQ gives one for each command. Few at first, because the queue may be empty: two, so that one job
 * is found to be the only one without another look. After a take that found as many as were asked for, that many at once.
 */
export const takes = { first: 2, growth: 4 }
