<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `get_recurring_logs` answers. Generated: do not edit. */
final class GetRecurringLogsResult
{
    /** How many rows this page holds. */
    public int $count;
    /** How many rows there are in all. */
    public int $total;
    /** @var list<GetRecurringLogsLog> The rows of this page. */
    public array $logs;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->count = (int) $answer['count'];
        $result->total = (int) $answer['total'];
        $result->logs = array_map([GetRecurringLogsLog::class, 'read'], $answer['logs'] ?? []);

        return $result;
    }
}
