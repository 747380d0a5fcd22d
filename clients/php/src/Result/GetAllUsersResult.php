<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `get_all_users` answers. Generated: do not edit. */
final class GetAllUsersResult
{
    /** How many users this page holds. */
    public int $count;
    /** How many users there are in all. */
    public int $total;
    /** @var list<GetAllUsersUser> The users of this page. */
    public array $users;

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
        $result->users = array_map([GetAllUsersUser::class, 'read'], $answer['users'] ?? []);

        return $result;
    }
}
